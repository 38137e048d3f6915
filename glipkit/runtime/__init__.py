"""Exported models: images in, boxes out, with onnxruntime or OpenVINO and numpy alone.

Nothing here or below imports PyTorch: ``glipkit.runtime`` works where it is not installed.

>>> detect = glipkit.runtime.load('model.onnx')
>>> found = detect('street.jpg', score_threshold=0.3)
>>> found.boxes, found.scores, found.names
"""
from __future__ import annotations

from glipkit.common.lazy import lazy_names

_PLACES = {'Model': 'glipkit.runtime.model', 'load': 'glipkit.runtime.model'}

__all__ = sorted(_PLACES)
__getattr__ = lazy_names(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
