"""Data: formats that read annotation files, transforms, mixing and sampling.

Every format emits the keys of `glipkit.data.sample_keys`; nothing behind it knows the format.
Names are imported when they are used: preparing and indexing files needs no PyTorch.
"""
from glipkit.common.lazy import lazy_names

_NAMES = (
    'AskClasses', 'BoxCaptions', 'CaptionShards', 'CocoDetection', 'CropToBox',
    'DescribedDetection', 'DrawSampler', 'FlickrGrounding', 'ImageCaptions', 'LoadImage',
    'LvisDetection', 'MdetrGrounding', 'MixedDataset', 'OdvgGrounding', 'PackGrounding', 'READERS',
    'ReferringExpressions', 'SampleClassPrompt', 'ShortSideResize', 'SwapLeftRight',
    'TsvDetection', 'WithProposals', 'detect_format')

__all__ = sorted(_NAMES)
__getattr__ = lazy_names(__name__, dict.fromkeys(_NAMES, 'glipkit.data.registrations'))
