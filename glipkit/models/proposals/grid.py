"""Boxes of several sizes and shapes on a grid: they need no weights, and no training."""
from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

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

    def boxes(self, height: int, width: int) -> Tensor:
        """(N, 4) boxes of an image of this size."""
        found = [torch.tensor([[0., 0., width, height]])]
        for size in self.sizes:
            for shape in self.shapes:
                side = size * min(height, width)
                h, w = min(height, side * math.sqrt(shape)), min(width, side / math.sqrt(shape))
                tops, lefts = self._starts(height, h), self._starts(width, w)
                corners = torch.cartesian_prod(tops, lefts).reshape(-1, 2).flip(1)
                found.append(torch.cat([corners, corners + torch.tensor([w, h])], dim=1))
        # Large boxes are equal where the image is too small for their shape.
        return torch.unique(torch.cat(found).round(decimals=3), dim=0)

    def _starts(self, length: int, side: float) -> Tensor:
        """First coordinates of the boxes along one axis."""
        count = 1 + math.ceil((length - side) / (side * self.step) - 1e-6)
        return torch.linspace(0, length - side, max(count, 1))
