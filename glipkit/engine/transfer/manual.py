"""Hand-written prompts: nothing trains."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glipkit.engine.transfer.strategy import Strategy, TrainedGroup
from glipkit.models.contract import GroundingDetector


@dataclass(frozen=True)
class ManualStrategy(Strategy):
    """The base model with hand-written prompts (GLIP table 10)."""

    name: ClassVar[str] = 'manual'

    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """Nothing."""
        return []
