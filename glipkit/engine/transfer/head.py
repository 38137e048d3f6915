"""The linear probe: only what turns features into scores and boxes trains."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from glipkit.engine.transfer.strategy import GroupStrategy
from glipkit.models.contract import GroundingDetector


@dataclass(frozen=True)
class HeadStrategy(GroupStrategy):
    """The official linear probe: word-region alignment, box and centerness layers.

    In GLIP-T these are 198,919 parameters: the projection of the text features, their bias, the
    temperature, and the two 1 x 1 convolutions. The scales of the box deltas are frozen, as in the
    official code. That code keeps the dropout of the frozen tower active; here frozen parts are in
    evaluation mode.
    """
    name: ClassVar[str] = 'head'

    def groups(self, model: GroundingDetector) -> Sequence[str]:
        """The detector's ``probe_groups``."""
        return model.probe_groups
