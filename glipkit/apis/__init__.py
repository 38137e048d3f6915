"""The stable public surface: loading, predicting, converting."""
from __future__ import annotations

from glipkit.common.lazy import lazy_names

_PLACES = {
    'ConvertReport': 'glipkit.apis.convert', 'Detections': 'glipkit.apis.detections',
    'Predictor': 'glipkit.apis.predictor', 'convert_checkpoint': 'glipkit.apis.convert',
    'find_config': 'glipkit.apis.build', 'known_models': 'glipkit.apis.build',
    'load': 'glipkit.apis.build'
}

__all__ = sorted(_PLACES)
# Imported on first use: the command line needs this package for help texts, and quickly.
__getattr__ = lazy_names(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
