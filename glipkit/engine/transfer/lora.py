"""Low-rank changes to attention and projections.

O outputs and I inputs of a linear layer, r the rank.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from glipkit.engine.transfer.strategy import Overrides, Strategy, TrainedGroup
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.structures import Prompt

_SITES = '.parametrizations.weight.0.'


class LowRank(nn.Module):
    """The weight (O, I) of a linear layer plus ``scale * up @ down``, zero in the beginning."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, weight.shape[1]))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """(O, I) -> (O, I)."""
        return add_low_rank(weight, self.down, self.up, self.scale)


def add_low_rank(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """``weight + scale * up @ down``: (O, I), (r, I), (O, r) -> (O, I)."""
    return weight + scale * (up @ down)


@dataclass(frozen=True)
class LoraStrategy(Strategy):
    """LoRA (Hu et al., ICLR 2022) on attention and on the projection of the tokens.

    Weights change as ``W + alpha / rank * up @ down``. The layers are those of the detector's
    ``low_rank_layers``: attention, fusion and the projection of the text features.

    Args:
        rank: Rank r of the change.
        alpha: Scale of the change, times r.
        lr: Learning rate.
        weight_decay: Weight decay of both factors.
    """
    rank: int = 8
    alpha: float = 16.
    lr: float = 1e-3
    weight_decay: float = 0.

    name: ClassVar[str] = 'lora'

    def check(self, model: GroundingDetector) -> None:
        """Refuses a model without a layer that low-rank changes reach."""
        if next(model.low_rank_layers(), None) is None:
            raise UserError('a model with linear layers for low-rank changes',
                            f'a {type(model).__name__} without', 'pass --strategy head or full')

    def add(self, model: GroundingDetector, prompts: Sequence[Prompt]) -> None:
        """Puts a :class:`LowRank` on the weight of each of these linear layers."""
        for _, _, linear in list(model.low_rank_layers()):
            change = LowRank(linear.weight, self.rank, self.alpha / self.rank)
            parametrize.register_parametrization(linear, 'weight', change)

    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """The factors, grouped like the layers they belong to."""
        groups: dict[str, list[nn.Module]] = {}
        for group, _, linear in model.low_rank_layers():
            groups.setdefault(f'{group}, rank {self.rank}', []).append(
                linear.parametrizations.weight[0])
        return [TrainedGroup(name, parts, self.lr, self.weight_decay, bias_rule=False)
                for name, parts in groups.items()]

    def state(self, model: GroundingDetector) -> dict[str, Tensor]:
        """Both factors of every layer, as ``<layer>.down`` and ``<layer>.up``."""
        state = super().state(model)
        return {name.replace(_SITES, '.'): value for name, value in state.items()}

    def overrides(self, model: GroundingDetector, state: Mapping[str, Tensor],
                  prompts: Sequence[Prompt]) -> Overrides:
        """The complete changed weights."""
        tensors, used = {}, 0
        for _, name, linear in model.low_rank_layers():
            down, up = state.get(f'{name}.down'), state.get(f'{name}.up')
            weight = linear.weight
            wanted = [(self.rank, weight.shape[1]), (weight.shape[0], self.rank)]
            if down is None or up is None or [tuple(down.shape), tuple(up.shape)] != wanted:
                break
            with torch.no_grad():
                tensors[f'{name}.weight'] = add_low_rank(
                    weight, down.to(weight), up.to(weight), self.alpha / self.rank)
            used += 2
        if used != len(state):
            raise UserError('a LoRA task of this model', f'{len(state)} factors, of which {used} '
                            'fit', 'load it into the model it was made with')
        return Overrides(tensors=tensors)

    def interpolate(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor],
                    alpha: float) -> dict[str, Tensor]:
        """The change scaled by ``alpha``, through one of its two factors."""
        return {name: value * alpha if name.endswith('.up') else value
                for name, value in after.items()}
