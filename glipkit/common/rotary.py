"""Rotary tables of image patches (EVA-02, section 2.1), which follow from their grid alone."""
from __future__ import annotations

import torch
from torch import Tensor

Tables = tuple[Tensor, Tensor]


def rotary_tables(grid: tuple[int, int], channels: int, span: float = 16,
                  device: torch.device | str = 'cpu') -> Tables:
    """Cosines and sines of the places in a grid, for the channels of one head.

    The first half of the channels turns with the row, the second with the column: pairs of
    neighbours by 10000 ** (-2 j / (channels / 2)) per unit. Row r of h rows is at span * r / h, so
    that a grid of any size and shape spans the same units.

    Args:
        grid: Rows and columns (h, w).
        channels: Channels E of a head.
        span: Units of either axis.
        device: Device of the tables.

    Returns:
        Two tables (h * w, E), row by row.
    """
    half = channels // 2
    # In the steps and the precision of the official code.
    rates = 1. / 10000**(torch.arange(0, half, 2, device=device)[:half // 2].float() / half)
    rows, columns = (torch.einsum('p,f->pf', torch.arange(count, device=device) / count * span,
                                  rates).repeat_interleave(2, dim=1) for count in grid)
    angles = torch.cat([rows[:, None].expand(-1, grid[1], -1),
                        columns[None].expand(grid[0], -1, -1)], dim=-1).flatten(0, 1)
    return angles.cos(), angles.sin()
