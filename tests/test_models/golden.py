"""The official code's own outputs on weights that a rule makes from each tensor's key and shape.

``tests/fixtures/golden`` holds them: ``keys_glip_<v>.json`` (official keys and shapes),
``glip_<v>_<case>.npz`` with the case's inputs in ``meta``.
"""
from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parents[1] / 'fixtures' / 'golden'


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """The weight tensor of an official key."""
    if key.endswith('log_scale'):
        return torch.zeros(shape)
    if key.endswith('bias0'):
        return torch.full(shape, -2.0)
    value = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    value = value.astype(np.float32)
    value *= np.float32(1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.02)
    if len(shape) == 1 and key.endswith('weight'):
        value = 1 + value
    if 'gamma_' in key:
        value = 0.5 + value
    return torch.from_numpy(value)


def official_state(variant: str) -> dict[str, Tensor]:
    """The whole official state dict of variant ``a`` or ``c``."""
    keys = json.loads((FOLDER / f'keys_glip_{variant}.json').read_text())
    return {key: weight(key, tuple(shape)) for key, shape in keys.items()}


def case(variant: str, name: str) -> tuple[dict, dict[str, Tensor]]:
    """Meta data and tensors of one case."""
    with np.load(FOLDER / f'glip_{variant}_{name}.npz') as file:
        meta = json.loads(str(file['meta']))
        return meta, {key: torch.from_numpy(file[key]) for key in file.files if key != 'meta'}


def images(meta: dict) -> Tensor:
    """The case's images (B, 3, H, W), normalised."""
    shape = (len(meta['captions']), 3, *meta['size'])
    return torch.from_numpy(
        np.random.RandomState(meta['seed']).standard_normal(shape).astype(np.float32))
