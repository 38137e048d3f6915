"""Prompt tuning through the text encoder's weights."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glipkit.engine.transfer.strategy import Strategy, TrainedGroup
from glipkit.models.contract import GroundingDetector


@dataclass(frozen=True)
class TextStrategy(Strategy):
    """The whole text encoder trains, nothing else (official language_prompt_v1).

    Args:
        lr: Learning rate.
        weight_decay: Weight decay of all weights but biases.
    """
    lr: float = 1e-5
    weight_decay: float = 0.05

    name: ClassVar[str] = 'text'

    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """The group ``text_encoder``."""
        parts = model.layer_groups()['text_encoder']
        return [TrainedGroup('text_encoder', parts, self.lr, self.weight_decay)]
