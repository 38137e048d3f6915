"""Imports every dataset, sampler and transform that configs name, and so registers them."""
from glipkit.compat import import_mmdet

import_mmdet()

from glipkit.data.formats.box_captions import BoxCaptions  # noqa: E402
from glipkit.data.formats.caption_shards import CaptionShards  # noqa: E402
from glipkit.data.formats.coco import CocoDetection  # noqa: E402
from glipkit.data.formats.described import DescribedDetection  # noqa: E402
from glipkit.data.formats.detect import READERS, detect_format  # noqa: E402
from glipkit.data.formats.image_captions import ImageCaptions  # noqa: E402
from glipkit.data.formats.image_proposals import ImageProposals  # noqa: E402
from glipkit.data.formats.lvis import LvisDetection  # noqa: E402
from glipkit.data.formats.mdetr import FlickrGrounding, MdetrGrounding  # noqa: E402
from glipkit.data.formats.odvg import OdvgGrounding  # noqa: E402
from glipkit.data.formats.panoptic import CocoPanoptic  # noqa: E402
from glipkit.data.formats.referring import ReferringExpressions  # noqa: E402
from glipkit.data.formats.semantic import SemanticLabels  # noqa: E402
from glipkit.data.formats.tsv import TsvDetection  # noqa: E402
from glipkit.data.mixing import MixedDataset  # noqa: E402
from glipkit.data.samplers import DrawSampler  # noqa: E402
from glipkit.data.transforms import (  # noqa: E402
    AskClasses,
    CropToBox,
    CutCrops,
    CutRegions,
    DrawProposals,
    GridProposals,
    LoadImage,
    LoadLabels,
    LoadSegments,
    LongSideResize,
    PackGrounding,
    SampleClassPrompt,
    ShortSideResize,
    SwapLeftRight,
    WithProposals,
)

__all__ = [
    'AskClasses', 'BoxCaptions', 'CaptionShards', 'CocoDetection', 'CocoPanoptic', 'CropToBox',
    'CutCrops', 'CutRegions', 'DescribedDetection', 'DrawProposals', 'DrawSampler',
    'FlickrGrounding', 'GridProposals', 'ImageCaptions', 'ImageProposals', 'LoadImage',
    'LoadLabels', 'LoadSegments', 'LongSideResize', 'LvisDetection', 'MdetrGrounding',
    'MixedDataset', 'OdvgGrounding', 'PackGrounding', 'READERS', 'ReferringExpressions',
    'SampleClassPrompt', 'SemanticLabels', 'ShortSideResize', 'SwapLeftRight', 'TsvDetection',
    'WithProposals', 'detect_format'
]
