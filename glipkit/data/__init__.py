"""Data: formats that read annotation files, transforms, mixing and sampling.

Every format emits the keys of `glipkit.data.sample_keys`; nothing behind it knows the format.
"""
from glipkit.compat import import_mmdet

import_mmdet()

from glipkit.data.formats import CocoDetection, OdvgGrounding  # noqa: E402
from glipkit.data.mixing import MixedDataset  # noqa: E402
from glipkit.data.samplers import DrawSampler  # noqa: E402
from glipkit.data.transforms import GlipResize, PackGrounding, SampleClassPrompt, SwapLeftRight  # noqa: E402

__all__ = [
    'CocoDetection', 'DrawSampler', 'GlipResize', 'MixedDataset', 'OdvgGrounding', 'PackGrounding',
    'SampleClassPrompt', 'SwapLeftRight'
]
