"""The fused tower: L blocks of cross attention, text layer and DyConv (GLIP section 3.2)."""
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from glipkit.registry import MODELS
from glipkit.text.structures import TextFeatures


class TowerBlock(nn.Module):
    """Fusion, then one text layer, then DyConv; without fusion only DyConv.

    Args:
        dyconv: Module that maps a list of maps to a list of the same shapes.
        fusion: Module (levels, text) -> (levels, text), or None.
        text_layer: Module (hidden (B, T, C), mask (B, T)) -> hidden, or None.
        with_cp: Whether to recompute activations in the backward pass instead of storing them.
    """

    def __init__(self,
                 dyconv: nn.Module,
                 fusion: nn.Module | None = None,
                 text_layer: nn.Module | None = None,
                 with_cp: bool = False) -> None:
        super().__init__()
        self.fusion = fusion
        self.text_layer = text_layer
        self.dyconv = dyconv
        self.with_cp = with_cp

    def forward(self, levels: list[Tensor],
                text: TextFeatures) -> tuple[list[Tensor], TextFeatures]:
        if self.with_cp and self.training:
            *levels, hidden = checkpoint(
                self._run, text.hidden, text.mask, *levels, use_reentrant=False)
        else:
            *levels, hidden = self._run(text.hidden, text.mask, *levels)
        return list(levels), TextFeatures(hidden, text.mask)

    def _run(self, hidden: Tensor, mask: Tensor, *levels: Tensor) -> tuple[Tensor, ...]:
        if self.fusion is not None:
            levels, text = self.fusion(levels, TextFeatures(hidden, mask))
            hidden = text.hidden
        if self.text_layer is not None:
            hidden = self.text_layer(hidden, mask)
        return (*self.dyconv(levels), hidden)


def build_tower(num_blocks: int, dyconv: dict, fusion: dict | None, text_layer: dict | None,
                with_cp: bool) -> nn.ModuleList:
    """Build ``num_blocks`` equal blocks from the configs of their parts."""
    build = lambda cfg: None if cfg is None else MODELS.build(cfg)  # noqa: E731
    return nn.ModuleList(
        TowerBlock(build(dyconv), build(fusion), build(text_layer), with_cp)
        for _ in range(num_blocks))


def run_tower(tower: nn.ModuleList, levels: Sequence[Tensor],
              text: TextFeatures) -> tuple[list[Tensor], TextFeatures]:
    """Pass maps (B, C, H_i, W_i) and text through all blocks."""
    levels = list(levels)
    for block in tower:
        levels, text = block(levels, text)
    return levels, text
