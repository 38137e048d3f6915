"""Which tokens of a map are in which window of a Swin Transformer, and what stands between them.

L = H*W tokens, n windows of S = side**2 tokens, h heads.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import WindowMSA
from torch import Tensor

from glipkit.models.kernels.tables import remembered

OTHER_REGION = -100.
"""Added to the similarity of two tokens that are neighbours only through the cyclic shift."""


class Windows:
    """Distribution of the tokens of a map over windows, in the order of the windows.

    Attributes:
        tokens: (n * S,) index of each token; 0 where the window reaches beyond the map.
        real: (n * S,) False where the window reaches beyond the map.
        places: (L,) index of each token of the map in ``tokens``.
        regions: (n, S) region of each token; different regions do not attend to each other.
        shifted: Whether there are different regions.
    """

    def __init__(self, tokens: Tensor, places: Tensor, regions: Tensor, shifted: bool) -> None:
        self.real = tokens >= 0
        self.tokens = tokens.clamp(min=0)
        self.places = places
        self.regions = regions
        self.shifted = shifted
        self.padded = len(tokens) > len(places)


@remembered(64)
def split_into_windows(height: int, width: int, side: int, shift: int,
                       device: torch.device) -> Windows:
    """Pad (H, W) to multiples of ``side``, roll by ``-shift`` and cut into windows.

    Nothing here makes the host wait for a device.
    """
    # What inference mode makes cannot be used where gradients are wanted later.
    with torch.inference_mode(False):
        index = torch.arange(height * width, device=device).view(height, width)
        index = F.pad(index, (0, -width % side, 0, -height % side), value=-1)
        if shift:
            index = index.roll((-shift, -shift), dims=(0, 1))
        regions = region_numbers(*index.shape, side, shift, device)
        windows = cut(index, side)
        # The way back: every place in the windows, put where its token is in the map.
        places = torch.arange(index.numel(), device=device).view(windows.shape)
        places = places.transpose(1, 2).flatten(2, 3).flatten(0, 1)
        if shift:
            places = places.roll((shift, shift), dims=(0, 1))
        return Windows(windows.flatten(), places[:height, :width].flatten(),
                       cut(regions, side).flatten(0, 1).flatten(1), shift > 0)


def region_numbers(height: int, width: int, side: int, shift: int, device: torch.device) -> Tensor:
    """(H, W), which tokens of a rolled map of whole windows were neighbours before: equal numbers.
    """
    regions = torch.zeros(height, width, dtype=torch.long, device=device)
    for axis, length in enumerate((height, width) if shift else ()):
        position = torch.arange(length, device=device)
        part = (position >= length - side).long() + (position >= length - shift).long()
        regions = 3 * regions + (part[:, None] if axis == 0 else part)
    return regions


def cut(places: Tensor, side: int) -> Tensor:
    """(H, W) -> windows (H / side, W / side, side, side)."""
    return places.unflatten(1, (-1, side)).unflatten(0, (-1, side)).transpose(1, 2)


def position_bias(attention: WindowMSA) -> Tensor:
    """Relative position bias (1, h, S, S)."""
    index = attention.relative_position_index
    bias = attention.relative_position_bias_table[index.flatten()]
    return bias.view(*index.shape, -1).permute(2, 0, 1).contiguous()[None]
