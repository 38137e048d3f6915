"""The programs that run graphs: onnxruntime and OpenVINO, with one face."""
from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from glipkit.errors import UserError
from glipkit.runtime.description import KEY

#: Ending of a file -> package that runs it.
ENDINGS = {'.onnx': 'onnxruntime', '.xml': 'openvino'}
#: Package -> the extra of glipkit that installs it.
EXTRAS = {'onnxruntime': 'export', 'onnx': 'export', 'onnxscript': 'export',
          'openvino': 'openvino'}


class Engine(Protocol):
    """A graph that can be run."""

    metadata: str | None

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name -> outputs by name."""


def open_engine(path: Path, threads: int | None) -> Engine:
    """The graph of a file.

    Args:
        path: ``.onnx``, or ``.xml`` with its ``.bin`` beside it.
        threads: Of the processor; None for the runtime's own choice.

    Raises:
        UserError: Another kind of file, none at all, a damaged one, or no package that runs it.
    """
    if path.suffix not in ENDINGS:
        raise UserError(f'an exported model ({", ".join(ENDINGS)})', str(path),
                        'make one with glipkit export')
    if not path.is_file():
        raise UserError('an exported model', f'no file at {path}', 'check the path')
    package = need(ENDINGS[path.suffix])
    try:
        return (OnnxEngine if path.suffix == '.onnx' else OpenVinoEngine)(package, path, threads)
    except Exception as error:  # the runtimes have errors of many kinds for a damaged file
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError('a model that can be read', f'{path} ({lines[0]})',
                        'export or copy it again') from error


def need(package: str) -> ModuleType:
    """An optional package.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(f'the package {package}', 'none installed',
                        f"pip install {package} (pip install 'glipkit[{EXTRAS[package]}]' installs "
                        'it too)') from error


class OnnxEngine:
    """A session of onnxruntime on the processor."""

    def __init__(self, onnxruntime: ModuleType, path: Path, threads: int | None) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options,
                                                     providers=['CPUExecutionProvider'])
        self._names = [one.name for one in self._session.get_outputs()]
        self.metadata = self._session.get_modelmeta().custom_metadata_map.get(KEY)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(None, dict(inputs))))


class OpenVinoEngine:
    """A compiled model of OpenVINO on the processor; several threads may call it at once."""

    def __init__(self, openvino: ModuleType, path: Path, threads: int | None) -> None:
        core = openvino.Core()
        model = core.read_model(str(path))
        self.metadata = None
        if model.has_rt_info([KEY, 'description']):
            self.metadata = model.get_rt_info([KEY, 'description']).astype(str)
        # Without the hint, processors with bfloat16 compute in it, and boxes move by pixels.
        settings = {'INFERENCE_PRECISION_HINT': 'f32'}
        if model.has_rt_info([KEY, 'compute']):
            settings['INFERENCE_PRECISION_HINT'] = model.get_rt_info([KEY, 'compute']).astype(str)
        if threads is not None:
            settings['INFERENCE_NUM_THREADS'] = threads
        self._model = core.compile_model(model, 'CPU', settings)
        self._names = [one.get_any_name() for one in self._model.outputs]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self._model.create_infer_request().infer(dict(inputs), share_outputs=False)
        return {name: np.array(found[name]) for name in self._names}
