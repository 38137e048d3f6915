"""Resizing by the short side, with a limit for the long one."""
from __future__ import annotations

import mmcv
from mmdet.datasets.transforms import Resize

from glipkit.common.resizing import long_side_size, short_side_size
from glipkit.registry import TRANSFORMS


# Configs made for version 0.1 use the second name.
@TRANSFORMS.register_module(name=['ShortSideResize', 'GlipResize'])
class ShortSideResize(Resize):
    """Keeps the aspect ratio; sizes by `short_side_size`, pixels by Pillow's bilinear filter.

    ``scale_factor`` always leads from the original image to the present one: the factors of
    several resizes are multiplied. Works as ``resize_type`` of ``mmdet.RandomChoiceResize``.

    Args:
        scale: (long, short) side in any order.
        interpolation: Name of mmcv's interpolation.
        backend: 'pillow', as maskrcnn-benchmark; 'cv2'; or 'fast': OpenCV where the image is not
            made smaller, whose pixels then differ from Pillow's by at most one level of 255 and
            take a sixth of the time, and Pillow elsewhere, where OpenCV's would alias.
        clip_object_border: Whether boxes are clipped to the image.
    """

    def __init__(self,
                 scale: int | tuple[int, int],
                 interpolation: str = 'bilinear',
                 backend: str = 'pillow',
                 clip_object_border: bool = True) -> None:
        super().__init__(scale=scale, keep_ratio=True, clip_object_border=clip_object_border,
                         backend=backend, interpolation=interpolation)

    def transform(self, results: dict) -> dict:
        """Resizes image and boxes."""
        before = results.get('scale_factor', (1., 1.))
        results = super().transform(results)
        # Only now: the steps in between need the factor of this resize alone.
        results['scale_factor'] = tuple(
            old * new for old, new in zip(before, results['scale_factor'], strict=True))
        return results

    def _resize_img(self, results: dict) -> None:
        height, width = results['img'].shape[:2]
        size = short_side_size(width, height, min(results['scale']), max(results['scale']))
        backend = self.backend
        if backend == 'fast':
            backend = 'cv2' if size[0] >= width and size[1] >= height else 'pillow'
        results['img'] = mmcv.imresize(
            results['img'], size, interpolation=self.interpolation, backend=backend)
        results['img_shape'] = results['img'].shape[:2]
        results['scale_factor'] = (size[0] / width, size[1] / height)
        results['keep_ratio'] = True


@TRANSFORMS.register_module()
class LongSideResize(Resize):
    """The longer side becomes ``size`` pixels, by Pillow's bicubic filter.

    Boxes are multiplied by the factor itself, while sides are rounded to whole pixels: an edge of
    a box may lie half a pixel away from that of the image, as in CLIP's evaluations.

    Args:
        size: New longer side in pixels.
        interpolation: Name of mmcv's interpolation.
    """

    def __init__(self, size: int, interpolation: str = 'bicubic') -> None:
        super().__init__(scale=(size, size), keep_ratio=True, clip_object_border=False,
                         backend='pillow', interpolation=interpolation)
        self.size = size

    def _resize_img(self, results: dict) -> None:
        height, width = results['img'].shape[:2]
        size, factor = long_side_size(width, height, self.size)
        results['img'] = mmcv.imresize(results['img'], size, interpolation=self.interpolation,
                                       backend=self.backend)
        results['img_shape'] = results['img'].shape[:2]
        results['scale_factor'] = (factor, factor)
        results['keep_ratio'] = True
