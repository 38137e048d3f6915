"""The linear probe: only what turns features into scores and boxes trains."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glipkit.engine.transfer.strategy import Strategy, TrainedGroup
from glipkit.models.contract import GroundingDetector


@dataclass(frozen=True)
class HeadStrategy(Strategy):
    """The official linear probe: word-region alignment, box and centerness layers.

    In GLIP-T 198,919 parameters: the projection of the tokens, their bias, the temperature, and
    the two 1 x 1 convolutions. The scales of the box deltas are frozen, as in the official code.
    That code keeps the dropout of the frozen tower; here frozen parts are in evaluation mode.

    Args:
        lr: Learning rate.
        weight_decay: Weight decay of all weights but biases.
    """
    lr: float = 1e-4
    weight_decay: float = 0.05

    name: ClassVar[str] = 'head'

    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """The detector's ``probe_groups``."""
        groups = model.layer_groups()
        return [TrainedGroup(name, groups[name], self.lr, self.weight_decay)
                for name in model.probe_groups]
