"""Outputs of the official CLIPSelf code on weights that follow from each key and shape.

``tests/fixtures/golden/clipself`` holds them: ``keys_*.json`` (official keys and shapes),
``*.npz`` with the case's inputs in ``meta``.
"""
from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / 'fixtures' / 'golden' / 'clipself'
#: Ends of keys whose tables are large enough to matter.
HALF = ('pos_embed', 'positional_embedding', 'cls_token', 'class_embedding',
        'token_embedding.weight')


def weight(key: str, shape: Sequence[int]) -> Tensor:
    """The tensor of an official key."""
    shape = tuple(shape)
    if key.endswith('logit_scale'):
        return torch.full(shape, math.log(1 / 0.07))
    if key.endswith('detect_temperature'):
        return torch.full(shape, 50.)
    value = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    value = np.asarray(value, np.float32)
    if key.endswith(HALF):
        return torch.from_numpy(np.float32(0.5) * value)
    value *= np.float32(1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.02)
    if len(shape) == 1 and key.endswith('weight') or key.endswith('running_var'):
        value = 1 + value
    return torch.from_numpy(value)


def student(key: str, shape: Sequence[int]) -> Tensor:
    """The tensor of a key in the perturbed student of the training cases."""
    return 0.8 * weight(key, shape) + 0.2 * weight(f'student.{key}', shape)


def official_keys(name: str, entry: str = 'keys') -> dict[str, list[int]]:
    """Key -> shape of an official state dict, such as ``'eva_b16'``; or ``'rotary_tables'``."""
    return json.loads((FOLDER / f'keys_{name}.json').read_text())[entry]


def official_state(name: str, prefix: str = '') -> dict[str, Tensor]:
    """An official state dict without rotary tables; with a prefix only its keys, without it."""
    return {key.removeprefix(prefix): weight(key, shape)
            for key, shape in official_keys(name).items() if key.startswith(prefix)}


def images(seed: int, shape: Sequence[int]) -> Tensor:
    """A batch of normalised images (B, 3, H, W)."""
    return torch.from_numpy(
        np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32))


@cache
def case(name: str) -> tuple[dict, dict[str, Tensor]]:
    """Meta data and tensors of one file; do not change them."""
    with np.load(FOLDER / f'{name}.npz') as file:
        meta = json.loads(str(file['meta']))
        return meta, {key: torch.from_numpy(file[key]) for key in file.files if key != 'meta'}


def picture(seed: int, width: int, height: int) -> np.ndarray:
    """The picture of a data case, (height, width, 3) RGB uint8."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1),
                     (x + y) * 255 // max(width + height - 2, 1)], -1)
    blocks = np.random.RandomState(seed).randint(0, 256, (-(-height // 8), -(-width // 8), 3))
    noise = blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
    return ((base + noise) // 2).astype(np.uint8)


def panoptic(seed: int, width: int, height: int) -> np.ndarray:
    """Segment ids (height, width) of a data case."""
    draw = np.random.RandomState(seed)
    found = np.full((height, width), 1000, np.int64)
    for k in range(6):
        top, left = draw.randint(0, height - 8), draw.randint(0, width - 8)
        bottom, right = draw.randint(top + 3, height + 1), draw.randint(left + 3, width + 1)
        found[top:bottom, left:right] = 2000 + 300 * k
    return found
