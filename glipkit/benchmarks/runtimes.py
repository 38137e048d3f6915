"""Jobs that run exported models, in processes into which PyTorch never comes."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.runtime.model import Model
from glipkit.runtime.rules import detections

#: Keeps packages out of a process that finds it as ``sitecustomize``.
WITHOUT_TORCH = '''import sys


class Away:
    names = {'torch', 'torchvision', 'mmcv', 'mmengine', 'mmdet', 'timm', 'transformers'}

    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in self.names:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)


sys.meta_path.insert(0, Away())
'''


def keep_torch_away(folder: Path) -> Path:
    """Writes what :data:`WITHOUT_TORCH` says; the folder belongs in front of ``PYTHONPATH``."""
    (folder / 'sitecustomize.py').write_text(WITHOUT_TORCH, encoding='utf-8')
    return folder


def noise(size: tuple[int, int], seed: int) -> np.ndarray:
    """Normalised noise (1, 3, height, width), whose values cost what a photograph's do."""
    return np.random.default_rng(seed).standard_normal((1, 3, *size), np.float32)


def exported(path: str, size: tuple[int, int], threads: int, seed: int) -> Callable[[], None]:
    """A job: one image through an exported file, from its tensor to detections.

    Args:
        path: File that ``glipkit export`` wrote.
        size: (height, width) of the image.
        threads: Of the runtime.
        seed: Of the image.
    """
    return _Job(Model(path, threads=threads), noise(tuple(size), seed), tuple(size))


class _Job:
    def __init__(self, model: Model, image: np.ndarray, size: tuple[int, int]) -> None:
        self.model, self.image, self.size = model, image, size
        self.details: dict[str, Any] = {'cpu_seconds': []}

    def __call__(self) -> None:
        begin = time.process_time()
        about = self.model.about
        detections(self.model.raw(self.image), about.rules, about.starts, self.size)
        self.details['cpu_seconds'].append(time.process_time() - begin)
