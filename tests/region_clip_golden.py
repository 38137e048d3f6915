"""Outputs of the official RegionCLIP code on weights that follow from each key and shape.

``tests/fixtures/golden/regionclip`` holds them: ``keys_*.json`` (official keys and shapes),
``*.npz`` with the case's inputs in ``meta``.
"""
from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / 'fixtures' / 'golden' / 'regionclip'
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
#: End of a key -> what its numbers are multiplied by, beside the rule of its shape.
SCALES = {
    'attnpool.positional_embedding': 10, 'attnpool.q_proj.weight': 4, 'attnpool.k_proj.weight': 4,
    'bbox_pred.weight': 0.3, 'rpn_head.objectness_logits.weight': 0.03,
    'rpn_head.objectness_logits.bias': 0.03, 'rpn_head.anchor_deltas.weight': 0.005,
    'rpn_head.anchor_deltas.bias': 0.005,
}


def weight(key: str, shape: Sequence[int]) -> Tensor:
    """The tensor of an official key."""
    shape = tuple(shape)
    value = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    value = value.astype(np.float32)
    if key.endswith('running_var'):
        return torch.from_numpy(np.float32(0.5) + np.abs(value))
    if key.endswith('running_mean'):
        return torch.from_numpy(np.float32(0.1) * value)
    if key.endswith('cls_bg_score.weight'):
        return torch.zeros(shape)
    value *= np.float32(1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.02)
    if len(shape) == 1 and key.endswith('weight'):
        value = 1 + value
    for end, scale in SCALES.items():
        if key.endswith(end):
            value *= np.float32(scale)
    return torch.from_numpy(value)


def official_keys(name: str) -> dict[str, list[int]]:
    """Key -> shape of an official state dict, such as ``'pretrain_rn50'``."""
    return json.loads((FOLDER / f'keys_{name}.json').read_text())


def official_state(name: str, prefix: str = '') -> dict[str, Tensor]:
    """An official state dict; with a prefix only its keys, without the prefix."""
    return {key.removeprefix(prefix): weight(key, shape)
            for key, shape in official_keys(name).items() if key.startswith(prefix)}


@cache
def case(name: str) -> tuple[dict, dict[str, Tensor]]:
    """Meta data and tensors of one file; do not change them."""
    with np.load(FOLDER / f'{name}.npz') as file:
        meta = json.loads(str(file['meta']))
        return meta, {key: torch.from_numpy(file[key]) for key in file.files if key != 'meta'}


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """An RGB picture (H, W, 3), uint8: coloured and striped rectangles on noise."""
    random = np.random.RandomState(seed)
    found = random.randint(0, 64, (height, width, 3)) + random.randint(0, 128, 3)
    for _ in range(16):
        h = random.randint(height // 8, height // 2)
        w = random.randint(width // 8, width // 2)
        y, x = random.randint(0, height - h), random.randint(0, width - w)
        colours = random.randint(0, 256, (2, 3))
        period, axis = random.randint(4, 24), random.randint(2)
        patch = colours[np.arange((h, w)[axis]) // period % 2]
        patch = patch[:, None] if axis == 0 else patch[None]
        found[y:y + h, x:x + w] = patch + random.randint(0, 16, (h, w, 1))
    return found.clip(0, 255).astype(np.uint8)


def pictures(meta: dict) -> list[np.ndarray]:
    """The pictures of a case, checked against the bytes that the official code saw."""
    found = [picture(seed, *size) for seed, size in zip(meta['seeds'], meta['sizes'])]
    assert [zlib.crc32(p.tobytes()) for p in found] == meta['crc32']
    return found


def normalised(images: Sequence[np.ndarray]) -> Tensor:
    """Pictures as one batch (B, 3, H, W) of the recognition view, padded right and bottom by 0."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    batch = torch.zeros(len(images), 3, height, width)
    for row, image in zip(batch, images):
        view = (torch.from_numpy(image).permute(2, 0, 1).float() / 255 - MEAN) / STD
        row[:, :image.shape[0], :image.shape[1]] = view
    return batch
