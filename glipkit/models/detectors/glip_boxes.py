"""The two doors between the boxes of everybody and those of GLIP.

Data samples hold xyxy absolute pixels with exclusive right and bottom edge: a box is ``x2 - x1``
wide. GLIP was trained on inclusive pixels: the same box is ``x2 - x1 + 1`` wide there, and its x2
and y2 are one pixel less. As in the official code it is a pixel of the original image, so in a
resized image it is as large as the sample's ``scale_factor``.
"""
from __future__ import annotations

import torch
from mmdet.structures import DetDataSample
from torch import Tensor


def inclusive_boxes(sample: DetDataSample) -> Tensor:
    """Ground truth for GLIP: the way in.

    Args:
        sample: With ``gt_instances.bboxes`` (G, 4), exclusive, in the frame of the input image;
            a tensor or mmdet's box class. G may be 0.

    Returns:
        (G, 4) float32, inclusive, a copy. A box of less than one pixel keeps x2 = x1.
    """
    boxes = sample.gt_instances.bboxes
    boxes = getattr(boxes, 'tensor', boxes).float()
    corners = boxes[:, 2:] - boxes.new_tensor(_pixel(sample))
    return torch.cat([boxes[:, :2], torch.maximum(corners, boxes[:, :2])], dim=1)


def exclusive_boxes(boxes: Tensor, sample: DetDataSample, rescale: bool) -> Tensor:
    """Detections for everybody: the way out.

    Args:
        boxes: (M, 4) inclusive, in the frame of the input image.
        sample: The image that they were found in.
        rescale: Whether to return boxes of the original image; without a ``scale_factor`` the
            input image is the original one.

    Returns:
        (M, 4) exclusive, a copy.
    """
    pixel = boxes.new_tensor(_pixel(sample))
    if rescale:
        boxes, pixel = boxes / pixel.repeat(2), torch.ones_like(pixel)
    return torch.cat([boxes[:, :2], boxes[:, 2:] + pixel], dim=1)


def _pixel(sample: DetDataSample) -> tuple[float, float]:
    """(width, height) of a pixel of the original image in the input image."""
    return sample.get('scale_factor', (1., 1.))
