"""One reader per annotation format; each emits the keys of `glipkit.data.sample_keys`.

Names are imported when they are used: preparing and indexing files needs no PyTorch.
"""
from glipkit.common.lazy import lazy_names

_FORMATS = 'glipkit.data.formats'
_PLACES = {
    'BoxCaptions': f'{_FORMATS}.box_captions',
    'CaptionShards': f'{_FORMATS}.caption_shards',
    'CocoDetection': f'{_FORMATS}.coco',
    'DescribedDetection': f'{_FORMATS}.described',
    'FlickrGrounding': f'{_FORMATS}.mdetr',
    'ImageCaptions': f'{_FORMATS}.image_captions',
    'LvisDetection': f'{_FORMATS}.lvis',
    'MdetrGrounding': f'{_FORMATS}.mdetr',
    'OdvgGrounding': f'{_FORMATS}.odvg',
    'READERS': f'{_FORMATS}.detect',
    'ReferringExpressions': f'{_FORMATS}.referring',
    'TsvDetection': f'{_FORMATS}.tsv',
    'detect_format': f'{_FORMATS}.detect',
}

__all__ = sorted(_PLACES)
__getattr__ = lazy_names(__name__, _PLACES)
