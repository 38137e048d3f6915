"""Prompt tuning through the text encoder's weights."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from glipkit.engine.transfer.strategy import GroupStrategy, refuse_fixed_text
from glipkit.models.contract import GroundingDetector


@dataclass(frozen=True)
class TextStrategy(GroupStrategy):
    """The whole text encoder trains, nothing else (official language_prompt_v1)."""
    lr: float = 1e-5

    name: ClassVar[str] = 'text'

    def check(self, model: GroundingDetector) -> None:
        """Refuses a model that never trains its text encoder."""
        refuse_fixed_text(model, self.name)

    def groups(self, model: GroundingDetector) -> Sequence[str]:
        """The text encoder alone."""
        return ('text_encoder', )
