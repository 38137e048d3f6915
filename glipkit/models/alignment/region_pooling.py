"""Embeddings of boxes and masks out of a dense map of embeddings.

Wu et al., "CLIPSelf", ICLR 2024, section 3; CLIPSelf's code for masks. B images, N boxes or masks
of an image, D channels, h and w cells of a map.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from glipkit.errors import UserError

MaskResize = Literal['coverage', 'bicubic_antialias', 'bicubic']
"""How a mask of pixels becomes one of cells; see :func:`cell_masks`."""
RESIZES: tuple[str, ...] = get_args(MaskResize)


def pool_boxes(dense: Tensor, boxes: Sequence[Tensor], stride: float = 1) -> list[Tensor]:
    """Embeddings of boxes: RoIAlign to one cell, then length 1.

    The map has unit vectors, so that no patch counts for more than another one.

    Args:
        dense: (B, D, h, w), unit vectors.
        boxes: Of each image (N, 4), xyxy in cells, or in pixels of which ``stride`` are a cell; N
            may be 0.
        stride: See above.

    Returns:
        Of each image (N, D), of length 1, in the order of the boxes.
    """
    rois = torch.cat([torch.cat([one.new_full((one.shape[0], 1), i), one], 1)
                      for i, one in enumerate(boxes)]).to(dense)
    with torch.autocast(dense.device.type, enabled=False):
        pooled = roi_align(dense, rois, 1, 1 / stride, sampling_ratio=-1, aligned=True)
    return list(F.normalize(pooled.flatten(1), dim=1).split([one.shape[0] for one in boxes]))


def pool_masks(dense: Tensor, masks: Sequence[Tensor]) -> list[Tensor]:
    """Embeddings of masks: the mean of the cells inside, then length 1.

    Args:
        dense: (B, D, h, w), unit vectors.
        masks: Of each image (N, h, w), True inside; N may be 0.

    Returns:
        Of each image (N, D), of length 1; zeros for a mask without a cell.

    Raises:
        UserError: Masks of another size than the map.
    """
    if len(masks) != len(dense):
        raise UserError(f'masks of {len(dense)} images', f'of {len(masks)}',
                        'pass an empty tensor for an image without masks')
    found = []
    for cells, own in zip(dense, masks):
        if own.shape[1:] != cells.shape[1:]:
            raise UserError(f'masks of {cells.shape[1]} x {cells.shape[2]} cells, as the map has',
                            str(tuple(own.shape)), 'resize them to the map first')
        weights = own.to(cells)
        with torch.autocast(dense.device.type, enabled=False):
            sums = torch.einsum('nhw,dhw->nd', weights, cells)
        means = sums / weights.sum((1, 2)).clamp(min=1)[:, None]
        found.append(F.normalize(means, dim=1))
    return found


def cell_masks(masks: Tensor, grid: tuple[int, int], how: MaskResize = 'coverage') -> Tensor:
    """Masks of pixels as masks of cells.

    The official code resizes by bicubic interpolation and takes all cells above 0. What that gives
    hangs on a filter against aliasing, which torchvision applies by itself since 0.17: without it
    a thin mask may lose its cells, with it a mask grows into its neighbours.

    Args:
        masks: (N, H, W), True inside; N may be 0.
        grid: Cells (h, w) that the pixels fill.
        how: ``'coverage'`` for every cell of which a pixel is inside, ``'bicubic_antialias'`` for
            the official code with today's torchvision, ``'bicubic'`` for that of before.

    Returns:
        (N, h, w), bool.

    Raises:
        UserError: Another ``how``.
    """
    if how not in RESIZES:
        raise UserError(f'a way to resize masks ({", ".join(RESIZES)})', repr(how),
                        'choose one of these')
    if not len(masks):
        return masks.new_zeros(0, *grid, dtype=torch.bool)
    pixels = masks.float()[:, None]
    if how == 'coverage':
        return F.adaptive_max_pool2d(pixels, grid)[:, 0] > 0
    cells = F.interpolate(pixels, grid, mode='bicubic', align_corners=False,
                          antialias=how == 'bicubic_antialias')
    return cells[:, 0] > 0
