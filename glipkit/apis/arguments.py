"""Arguments of a predictor that have a range."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from glipkit.errors import UserError


@dataclass(frozen=True)
class Shown:
    """Which detections of an image are returned.

    Args:
        threshold: Lowest score.
        per_object: ``'one'`` for one label per object, ``'all'`` for every label of it.
    """

    threshold: float
    per_object: str

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_per_object(self.per_object)


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
