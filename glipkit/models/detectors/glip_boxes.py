"""Conversion of boxes between glipkit and GLIP, in both directions.

Data samples hold xyxy absolute pixels with exclusive right and bottom edge: a box is ``x2 - x1``
wide. GLIP was trained on inclusive pixels: the same box is ``x2 - x1 + 1`` wide there, and its x2
and y2 are one pixel less. As in the official code this is a pixel of the original image, so in a
resized image its size is the sample's ``scale_factor``.
"""
from __future__ import annotations

import torch
from mmdet.structures import DetDataSample
from torch import Tensor


def inclusive_boxes(sample: DetDataSample) -> Tensor:
    """Ground truth in the form of GLIP, with inclusive edges.

    Args:
        sample: Sample with ``gt_instances.bboxes`` (G, 4), exclusive, in the frame of the input
            image; a tensor or mmdet's box class. G may be 0.

    Returns:
        Boxes (G, 4) float32, inclusive, a copy. A box of less than one pixel keeps x2 = x1.
    """
    boxes = sample.gt_instances.bboxes
    boxes = getattr(boxes, 'tensor', boxes).float()
    corners = boxes[:, 2:] - boxes.new_tensor(_pixel(sample))
    return torch.cat([boxes[:, :2], torch.maximum(corners, boxes[:, :2])], dim=1)


def exclusive_boxes(boxes: Tensor, sample: DetDataSample, rescale: bool) -> Tensor:
    """Detections of GLIP in the form of glipkit, with exclusive edges.

    Args:
        boxes: Boxes (M, 4), inclusive, in the frame of the input image.
        sample: Sample of the image in which they were found.
        rescale: Whether to return boxes of the original image; without a ``scale_factor`` the
            input image is the original one.

    Returns:
        Boxes (M, 4), exclusive, a copy.
    """
    pixel = boxes.new_tensor(_pixel(sample))
    if rescale:
        boxes, pixel = boxes / pixel.repeat(2), torch.ones_like(pixel)
    return torch.cat([boxes[:, :2], boxes[:, 2:] + pixel], dim=1)


def _pixel(sample: DetDataSample) -> tuple[float, float]:
    """(width, height) of a pixel of the original image in the input image."""
    return sample.get('scale_factor', (1., 1.))
