"""What a source of boxes is, and how a detector asks it."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from numpy.typing import ArrayLike
from torch import Tensor

from glipkit.errors import UserError


class BoxSource(Protocol):
    """A callable that proposes boxes; it is no part of the detector's weights and never trains."""

    def __call__(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[InstanceData]:
        """Boxes of each image.

        Args:
            images: (B, 3, H, W) normalised and padded, as the detector sees them.
            samples: Their B samples; ``img_shape`` is the size without padding.

        Returns:
            Of each image ``bboxes`` (N, 4), exclusive xyxy pixels of ``images``, any N; and, where
            the source knows how likely each box holds a thing, ``logits`` (N,) before the sigmoid.

        Raises:
            UserError: The samples lack what this source needs.
        """


def propose(source: BoxSource, images: Tensor,
            samples: Sequence[DetDataSample]) -> list[InstanceData]:
    """Boxes of each image: those that its sample brings as ``proposals``, or else the source's.

    Args:
        source: Where boxes come from; it is asked only for samples that bring none.
        images: (B, 3, H, W).
        samples: B samples.

    Returns:
        Instances as of :class:`BoxSource`, float32, on the device of the images.

    Raises:
        UserError: A sample brings a box that is not finite, or the source lacks what it needs.
    """
    found = [sample.get('proposals') for sample in samples]
    for i, given in enumerate(found):
        if given is not None:
            _check_finite(plain_boxes(given), i)
    open_ = [i for i, given in enumerate(found) if given is None]
    if open_:
        with torch.no_grad():
            asked = source(images if len(open_) == len(samples) else images[open_],
                           [samples[i] for i in open_])
        for i, proposed in zip(open_, asked):
            found[i] = proposed
    return [_on(proposed, images.device) for proposed in found]


def image_size(sample: DetDataSample, images: Tensor) -> tuple[int, int]:
    """(height, width) of a sample's image without padding."""
    height, width = tuple(sample.get('img_shape', images.shape[-2:]))[:2]
    return int(height), int(width)


def plain_boxes(instances: InstanceData) -> Tensor:
    """(N, 4) float32 of instances whose boxes are a tensor or mmdet's box class."""
    boxes = instances.bboxes
    return torch.as_tensor(getattr(boxes, 'tensor', boxes)).float().reshape(-1, 4)


def as_batch(images: Tensor) -> Tensor:
    """A caller's images, after a check that they are a batch.

    Args:
        images: (B, 3, H, W).

    Raises:
        UserError: Another shape, such as that of one image.
    """
    shape = tuple(getattr(images, 'shape', ()))
    if len(shape) != 4 or shape[1] != 3:
        raise UserError('images (B, 3, H, W)', f'{type(images).__name__} {shape}',
                        'pass image[None] for one image' if len(shape) == 3 else
                        'pass a batch of three channels')
    return images


def boxes_of_images(boxes: Sequence[ArrayLike | Tensor], images: Tensor) -> list[Tensor]:
    """A caller's boxes of a batch, as tensors like the images.

    Args:
        boxes: Per image (N, 4) numbers, as a tensor, an array or a list; N may be 0.
        images: (B, 3, H, W), whose type and device the boxes get.

    Raises:
        UserError: Images of another shape; boxes for another number of images, of another shape,
            or not finite.
    """
    if len(boxes) != len(as_batch(images)):
        raise UserError(f'boxes for each of {len(images)} images', f'boxes for {len(boxes)}',
                        'pass a list with one (N, 4) for every image')
    return [_four_columns(one, i).to(images) for i, one in enumerate(boxes)]


def _four_columns(boxes: ArrayLike | Tensor, i: int) -> Tensor:
    try:
        found = torch.as_tensor(boxes if isinstance(boxes, Tensor) else np.asarray(boxes, float))
    except (TypeError, ValueError) as error:
        raise UserError('boxes as (N, 4)', f'image {i}: {error}',
                        'pass [[x1, y1, x2, y2], ...]') from error
    if not found.numel():
        return found.reshape(0, 4)
    if found.dim() != 2 or found.shape[1] != 4:
        raise UserError('boxes as (N, 4)', f'image {i}: {tuple(found.shape)}',
                        'pass [[x1, y1, x2, y2], ...]')
    _check_finite(found, i)
    return found


def _check_finite(boxes: Tensor, i: int) -> None:
    if not boxes.isfinite().all():
        wrong = int((~boxes.isfinite()).any(1).nonzero()[0])
        raise UserError('boxes of finite numbers', f'box {wrong} of image {i}: '
                        f'{boxes[wrong].tolist()}', 'remove it')


def _on(proposed: InstanceData, device: torch.device) -> InstanceData:
    made = InstanceData(bboxes=plain_boxes(proposed).to(device))
    if 'logits' in proposed:
        made.logits = torch.as_tensor(proposed.logits).float().reshape(-1).to(device)
    return made
