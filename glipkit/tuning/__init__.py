"""Tuning a detector on a task: data, prompts, training, report."""
from __future__ import annotations

from glipkit.common.lazy import lazy_names

_PLACES = {'TuneSettings': 'glipkit.tuning.settings', 'tune': 'glipkit.tuning.run'}

__all__ = sorted(_PLACES)
__getattr__ = lazy_names(__name__, _PLACES)
