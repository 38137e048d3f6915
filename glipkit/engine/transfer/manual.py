"""Hand-written prompts: nothing trains."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from glipkit.engine.transfer.strategy import Strategy, TrainedGroup


@dataclass(frozen=True)
class ManualStrategy(Strategy):
    """The base model, asked in other words (GLIP table 10)."""

    name: ClassVar[str] = 'manual'

    def trained(self, model: nn.Module) -> list[TrainedGroup]:
        """Nothing."""
        return []
