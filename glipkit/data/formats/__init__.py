"""One reader per annotation format; each emits the keys of `glipkit.data.sample_keys`."""
from glipkit.data.formats.coco import CocoDetection
from glipkit.data.formats.odvg import OdvgGrounding

__all__ = ['CocoDetection', 'OdvgGrounding']
