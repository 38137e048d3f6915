"""Models as files for other programs: ONNX for onnxruntime, and OpenVINO's own form.

`export_model` is all of it; `glipkit.runtime` runs what it writes, without PyTorch.
"""
from __future__ import annotations

from glipkit.common.lazy import lazy_names

_PLACES = {'ExportSettings': 'glipkit.export.settings', 'export_model': 'glipkit.export.run'}

__all__ = sorted(_PLACES)
__getattr__ = lazy_names(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
