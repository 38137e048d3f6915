"""Overrides of a config, checked against the values that they replace."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glipkit.errors import UserError

# Settings that must be at least one; other numbers are checked by the code that reads them.
_COUNTS = ('batch_size', 'max_epochs', 'max_iters', 'val_interval')


def check_options(cfg: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuses overrides that would end a run halfway: a word for a number, a value for a section.

    Args:
        cfg: The config before the overrides.
        options: Dotted keys to values. Keys that the config lacks pass, and so does None.

    Raises:
        UserError: A value of another kind; names the key, its value, and the one before.
    """
    for key, value in options.items():
        before = _value(cfg, key)
        if value is None and not _is_number(before):
            continue
        if isinstance(before, Mapping) and not isinstance(value, Mapping):
            raise UserError(f'a section, or a key in it, for {key}', repr(value),
                            f'pass e.g. {key}.{next(iter(before), "key")}=...')
        if _is_number(before):
            _check_number(key, value, before)


def _check_number(key: str, value: Any, before: float) -> None:
    name = key.rpartition('.')[2]
    if not _is_number(value) and value is not None or value is None and name in _COUNTS:
        raise UserError(f'a number for {key}', repr(value), f'pass e.g. {key}={before}')
    if name in _COUNTS and not (value >= 1 and float(value).is_integer()):
        raise UserError(f'a whole number of at least 1 for {key}', repr(value),
                        f'pass e.g. {key}={before}')
    if name in ('lr', 'weight_decay') and value is not None and not 0 <= value < float('inf'):
        raise UserError(f'a number of at least 0 for {key}', repr(value),
                        f'pass e.g. {key}={before}')


def _value(cfg: Any, key: str) -> Any:
    """Value of a dotted key, with numbers for positions in lists; None where there is none."""
    for part in key.split('.'):
        if isinstance(cfg, Mapping):
            cfg = cfg.get(part)
        elif isinstance(cfg, (list, tuple)) and part.isdecimal() and int(part) < len(cfg):
            cfg = cfg[int(part)]
        else:
            return None
    return cfg


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
