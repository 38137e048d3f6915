"""The stable public surface: loading, predicting, converting."""
from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    'ConvertReport': 'convert', 'Detections': 'detections', 'Predictor': 'predictor',
    'convert_checkpoint': 'convert', 'find_config': 'build', 'known_models': 'build',
    'TuneSettings': 'tuning_settings', 'load': 'build', 'tune': 'tuning'
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    # On first use: the command line asks this package for its help texts too, and quickly.
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
