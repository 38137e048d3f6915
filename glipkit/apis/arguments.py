"""Arguments of a predictor that have a range."""
from __future__ import annotations

from numbers import Integral, Real

from glipkit.errors import UserError


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
