"""Steps of a pipeline that mmdet does not have."""
from glipkit.compat import import_mmdet

import_mmdet()

from glipkit.data.transforms.ask_classes import AskClasses  # noqa: E402
from glipkit.data.transforms.class_prompt import SampleClassPrompt  # noqa: E402
from glipkit.data.transforms.crop_to_box import CropToBox  # noqa: E402
from glipkit.data.transforms.cut_regions import CutRegions  # noqa: E402
from glipkit.data.transforms.loading import LoadImage  # noqa: E402
from glipkit.data.transforms.packing import PackGrounding  # noqa: E402
from glipkit.data.transforms.pixel_labels import LoadLabels, LoadSegments  # noqa: E402
from glipkit.data.transforms.proposal_crops import (  # noqa: E402
    CutCrops,
    DrawProposals,
    GridProposals,
)
from glipkit.data.transforms.resize import LongSideResize, ShortSideResize  # noqa: E402
from glipkit.data.transforms.swap_left_right import SwapLeftRight  # noqa: E402
from glipkit.data.transforms.with_proposals import WithProposals  # noqa: E402

__all__ = [
    'AskClasses', 'CropToBox', 'CutCrops', 'CutRegions', 'DrawProposals', 'GridProposals',
    'LoadImage', 'LoadLabels', 'LoadSegments', 'LongSideResize', 'PackGrounding',
    'SampleClassPrompt', 'ShortSideResize', 'SwapLeftRight', 'WithProposals'
]
