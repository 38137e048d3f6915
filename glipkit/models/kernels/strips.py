"""Functions of single positions, computed on a processor strip by strip of a map.

Several element-wise steps over a large map read and write main memory at each step; over a strip
they stay in the cache of a core.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from glipkit.common.cores import even_pieces, share_out

STRIP_ELEMENTS = 1 << 17
"""Most elements of one strip: half a MiB in float32."""


def in_strips(function: Callable[..., Tensor], maps: Sequence[Tensor]) -> Tensor:
    """``function(*maps)``; without gradients on a processor, rows of the maps at a time.

    Args:
        function: Function of maps of one size (B, C, H, W) which treats each position alone and
            keeps shape and dtype of the first.
        maps: The maps.
    """
    first = maps[0]
    if torch.is_grad_enabled() or first.device.type != 'cpu' or torch.compiler.is_compiling() \
            or torch.jit.is_tracing():
        return function(*maps)
    rows = max(1, STRIP_ELEMENTS // max(1, first[:, :, 0].numel()))
    strips = even_pieces(first.size(2), rows)
    if len(strips) == 1:
        return function(*maps)
    out = torch.empty_like(first)

    def fill(i: int) -> None:
        strip = strips[i]
        out[:, :, strip] = function(*(x[:, :, strip] for x in maps))

    share_out(fill, len(strips))
    return out
