"""Boxes without any knowledge: the control of an experiment with proposals."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.errors import UserError
from glipkit.registry import MODELS

#: Pixels between the lines of the grid that corners lie on, in the official code.
GRID = 8


@MODELS.register_module()
class RandomBoxes:
    """Boxes between two random corners on a grid; the same ones for every image of a batch.

    Randomness is torch's on the CPU, which `IterSeedHook` makes a function of the iteration. The
    canvas of the batch counts, as in RegionCLIP's ``CROP_REGION_TYPE`` RANDOM.

    Args:
        count: Boxes of an image.
    """

    def __init__(self, count: int = 300) -> None:
        if count < 1:
            raise UserError('at least one box per image', str(count), 'raise count')
        self.count = count

    def __call__(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[InstanceData]:
        """Boxes of each image; see :class:`~.contract.BoxSource`.

        Raises:
            UserError: The images have no two lines of the grid.
        """
        height, width = images.shape[-2:]
        x, y = self._sides(width), self._sides(height)
        boxes = torch.stack([x[0], y[0], x[1], y[1]], dim=1).to(images)
        return [InstanceData(bboxes=boxes) for _ in samples]

    def _sides(self, length: int) -> Tensor:
        """(2, count) first and second coordinate of each box, which differ."""
        lines = length // GRID + 1
        if lines < 2:
            raise UserError(f'images with sides of at least {GRID} pixels', f'{length}',
                            'pass larger images')
        first = torch.randint(lines, (self.count, ))
        other = torch.randint(lines - 1, (self.count, ))
        other = other + (other >= first)
        return GRID * torch.stack([torch.minimum(first, other), torch.maximum(first, other)])
