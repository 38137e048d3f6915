"""Boxes of several sizes and shapes on a grid: they need no weights, and no training."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.common.boxes import grid_boxes
from glipkit.models.proposals.contract import image_size
from glipkit.registry import MODELS


@MODELS.register_module()
class GridBoxes:
    """Boxes side by side at every size and shape, inside the image, and the whole image.

    Neighbours of one size are at most ``step`` of a box apart, and the first and the last touch
    the edges of the image.

    Args:
        sizes: Square root of the area over the shorter side of the image.
        shapes: Height over width.
        step: Distance of neighbours, in parts of the box's side.
    """

    def __init__(self, sizes: Sequence[float] = (0.25, 0.5, 1.),
                 shapes: Sequence[float] = (0.5, 1., 2.), step: float = 0.5) -> None:
        self.sizes, self.shapes, self.step = tuple(sizes), tuple(shapes), step

    def __call__(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[InstanceData]:
        """The grid of each image's size; see :class:`~.contract.BoxSource`."""
        return [InstanceData(bboxes=self.boxes(*image_size(sample, images)).to(images.device))
                for sample in samples]

    @property
    def grid_settings(self) -> dict[str, Any]:
        """Arguments of `grid_boxes` that do not belong to an image."""
        return dict(sizes=self.sizes, shapes=self.shapes, step=self.step)

    def boxes(self, height: int, width: int) -> Tensor:
        """(N, 4) boxes of an image of this size."""
        return torch.from_numpy(grid_boxes(height, width, **self.grid_settings))
