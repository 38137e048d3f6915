"""Everything trains but the beginning of the backbone."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glipkit.engine.transfer.strategy import Strategy, TrainedGroup
from glipkit.models.contract import GroundingDetector


@dataclass(frozen=True)
class FullStrategy(Strategy):
    """Full fine-tuning by the official freeze rule (FREEZE_CONV_BODY_AT 2).

    Args:
        lr: Learning rate of everything but the text encoder.
        text_lr: Learning rate of the text encoder.
        weight_decay: Weight decay of all weights but biases.
        frozen_stages: Number of first layer groups of the backbone that do not change: 2 means
            the stem (Swin's patch embedding) and the first stage.
    """
    lr: float = 1e-4
    text_lr: float = 1e-5
    weight_decay: float = 0.05
    frozen_stages: int = 2

    name: ClassVar[str] = 'full'

    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """All groups that may train; the text encoder at its own rate."""
        groups = model.layer_groups()
        groups['backbone'] = groups['backbone'][self.frozen_stages:]
        for name in model.fixed_groups:
            del groups[name]
        return [
            TrainedGroup(name, parts, self.text_lr if name == 'text_encoder' else self.lr,
                         self.weight_decay) for name, parts in groups.items() if parts
        ]
