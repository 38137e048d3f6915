"""Prompt tuning through the text encoder's weights."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from glipkit.engine.transfer.strategy import GroupStrategy
from glipkit.models.contract import GroundingDetector


@dataclass(frozen=True)
class TextStrategy(GroupStrategy):
    """The whole text encoder trains, nothing else (official language_prompt_v1)."""
    lr: float = 1e-5

    name: ClassVar[str] = 'text'

    def groups(self, model: GroundingDetector) -> Sequence[str]:
        """The text encoder alone."""
        return ('text_encoder', )
