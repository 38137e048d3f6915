"""Which tokens of a map are in which window of a Swin Transformer, and what stands between them.

L = H*W tokens, n windows of S = side**2 tokens, h heads.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import WindowMSA
from torch import Tensor

from glipkit.common.devices import to_device
from glipkit.models.kernels.tables import remembered

OTHER_REGION = -100.
"""Added to the similarity of two tokens that are neighbours only through the cyclic shift."""


class Windows:
    """Distribution of the tokens of a map over windows.

    Windows that lie wholly in the map and in one region come first: nothing in them is masked.

    Args:
        tokens: (n, S) index of each token, on the host; -1 where the window reaches beyond the map.
        regions: (n, S) region of each token, likewise; different regions do not attend to each
            other.
        count: Number L of tokens of the map.
        device: Where the tables are wanted.

    Attributes:
        whole: Number of the windows in which nothing is masked.
        padded: Whether windows reach beyond the map.
        shifted: Whether there are different regions.
        regions: (n, S) as above, in the order of the windows.
        places: (L,) index of each token of the map among the tokens of all windows.
        ranks: (L,) the same among those tokens of all windows that are in the map.
    """

    def __init__(self, tokens: Tensor, regions: Tensor, count: int, device: torch.device) -> None:
        apart = (regions != regions[:, :1]).any(1)
        masked = (tokens < 0).any(1) | apart
        order = masked.int().argsort(stable=True)
        tokens = tokens[order]
        self.whole = len(tokens) - int(masked.sum())
        self.padded, self.shifted = tokens.numel() > count, bool(apart.any())
        places = torch.empty(count, dtype=torch.long)
        places[tokens[tokens >= 0]] = (tokens >= 0).flatten().nonzero().flatten()
        ranks = ((tokens >= 0).flatten().cumsum(0) - 1)[places]
        self.regions, self.places, self.ranks, self._real, self._tokens = (
            to_device(x, device) for x in (regions[order], places, ranks, tokens >= 0,
                                           tokens.clamp(min=0)))

    def __len__(self) -> int:
        return len(self._tokens)

    def all_tokens(self) -> tuple[Tensor, Tensor]:
        """Index of each token of all windows, 0 beyond the map, and whether it is in the map."""
        return self._tokens.flatten(), self._real.flatten()

    def real_tokens_of(self, chunk: slice) -> tuple[Tensor, Tensor | None]:
        """Index of each token of the map in some windows (R,), and its place among all m * S tokens
        of these windows, or None where all of them are in the map. A GPU would be waited for."""
        tokens = self._tokens[chunk].flatten()
        if not self.padded or chunk.stop <= self.whole or bool(self._real[chunk].all()):
            return tokens, None
        slots = self._real[chunk].flatten().nonzero()[:, 0]
        return tokens[slots], slots

    def mask_of(self, chunk: slice) -> Tensor:
        """Addend (m, 1, S, S) of the similarities in some windows."""
        regions = self.regions[chunk]
        return (regions[:, None, :, None] != regions[:, None, None, :]) * OTHER_REGION


@remembered(64)
def split_into_windows(height: int, width: int, side: int, shift: int,
                       device: torch.device) -> Windows:
    """Pad (H, W) to multiples of ``side``, roll by ``-shift`` and cut into windows.

    The tables are made on the host, so that no GPU is waited for.
    """
    # What inference mode makes cannot be used where gradients are wanted later.
    with torch.inference_mode(False):
        index = torch.arange(height * width, device='cpu').view(height, width)
        index = F.pad(index, (0, -width % side, 0, -height % side), value=-1)
        if shift:
            index = index.roll((-shift, -shift), dims=(0, 1))
        regions = region_numbers(*index.shape, side, shift, index.device)
        tokens, regions = (cut(x, side).flatten(0, 1).flatten(1) for x in (index, regions))
        return Windows(tokens, regions, height * width, device)


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
