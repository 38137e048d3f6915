"""Arguments of a predictor that have a range."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from glipkit.common.boxes import one_per_object
from glipkit.errors import UserError

if TYPE_CHECKING:
    from glipkit.apis.calibration import Calibration
    from glipkit.apis.detections import Detections


@dataclass(frozen=True)
class Shown:
    """Which detections of an image are returned.

    Args:
        threshold: Lowest score; with a calibration, lowest probability.
        per_object: ``'one'`` for one label per object, ``'all'`` for every label of it.
        calibration: What a task knows of its scores; None leaves them as they are.
        by_class: Whether the calibration's thresholds count, and ``threshold`` does not.
    """

    threshold: float
    per_object: str
    calibration: Calibration | None = None
    by_class: bool = False

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_per_object(self.per_object)

    def choose(self, found: Detections) -> Detections:
        """What is shown of everything found in one image, best first.

        Scores become probabilities, each object gets its best label, then thresholds count.
        """
        if self.calibration is not None:
            found = self.calibration.applied(found)
        stays = found.scores >= self._limits(found.classes)[found.labels]
        if self.per_object == 'all':
            return found[stays]
        if self.by_class and self.calibration is not None:
            chosen = one_per_object(found.boxes, found.scores)
            return found[chosen[stays[chosen]]]
        return found[stays].one_per_object()  # as one threshold for all comes to, and faster

    def lowest_score(self, names: Sequence[str]) -> float:
        """The lowest score before any map that `choose` may show of detections of these names."""
        if self.calibration is None or not names:
            return self.threshold
        lowest = self.calibration.lowest_scores(names, self._limits(names)).min()
        return float(np.clip(lowest - 1e-6, 0, 1))  # rounding loses nothing

    def _limits(self, names: Sequence[str]) -> np.ndarray:
        """Lowest score or probability (K,) of each name."""
        if self.calibration is not None and self.by_class:
            return self.calibration.limits(names).astype(np.float32)
        # In the type of scores, as a score that was written with it is compared.
        return np.full(len(names), self.threshold, np.float32)


def default_threshold(cfg: Mapping[str, Any]) -> float:
    """Lowest score that a person is shown of a model: ``shown_above`` of its config, or 0.3.

    Args:
        cfg: Config of the model.

    Raises:
        UserError: The config names a number that is no score.
    """
    # Exported models are called with arguments too, where there is no PyTorch for this room.
    from glipkit.evaluation.functional.naming import SHOWN_ABOVE
    return check_threshold(cfg.get('shown_above', SHOWN_ABOVE))


def check_batch_size(value: int) -> int:
    """A whole number from 1."""
    if not isinstance(value, Integral) or value < 1:
        raise UserError('a batch size of at least 1', repr(value), 'pass e.g. 4')
    return int(value)


def check_channel_order(value: str) -> str:
    """``'bgr'`` or ``'rgb'``."""
    if value not in ('bgr', 'rgb'):
        raise UserError("'bgr' or 'rgb' as channel_order", repr(value), 'pass one')
    return value


def check_threshold(value: float) -> float:
    """A number from 0 to 1."""
    if isinstance(value, Real) and 0 <= value <= 1:
        return float(value)
    raise UserError('a score threshold between 0 and 1', repr(value), 'pass e.g. 0.3')


def check_per_object(value: str) -> str:
    """``'one'`` or ``'all'``."""
    if value not in ('one', 'all'):
        raise UserError("'one' or 'all' as per_object", repr(value), 'pass one')
    return value
