"""Tiny GLIP checkpoints: every tensor a real one has, in a few kilobytes."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from torch import Tensor

from glipkit.checkpoints import Checkpoint, to_layout
from glipkit.checkpoints.glip import Structure

KEYS = Path(__file__).parent / 'keys'

TINY = Structure(embed_dims=8, patch_size=4, depths=(2, 1, 3), heads=(1, 2, 4), window=3,
                 mlp_ratio=2, outputs=(0, 1, 2), channels=16, levels=5, blocks=2, squeeze=4,
                 joint=24, text_hidden=12, text_inner=20, text_layers=2, vocabulary=30,
                 positions=10)
UNFUSED = dataclasses.replace(TINY, joint=0, blocks=4)


def random_state(structure: Structure, seed: int = 0) -> dict[str, Tensor]:
    """Tensors of our layout with distinct values, index buffers left out."""
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator)
            for key, shape in structure.shapes().items() if 'position_index' not in key}


def official_state(structure: Structure, prefix: str = 'module.') -> dict[str, Tensor]:
    """The same in the official layout, with what real files hold beside the model."""
    state = to_layout(Checkpoint(random_state(structure)), 'official').state
    state = {key.removeprefix('module.'): tensor for key, tensor in state.items()}
    state |= {
        'rpn.head.cls_logits.weight': torch.randn(80, structure.channels, 1, 1),
        'rpn.head.cls_logits.bias': torch.randn(80),
        'rpn.anchor_generator.cell_anchors.0': torch.randn(1, 4),
        'rpn.head.mlm_head.transform.dense.weight': torch.randn(4, 4),
        'rpn.tunable_linear.weight': torch.randn(5, structure.text_hidden),
        'rpn.resizer.fc.bias': torch.randn(3).half(),
        'language_backbone.body.model.embeddings.position_ids': torch.arange(10)[None],
    }
    return {prefix + key: tensor for key, tensor in state.items()}


def listed(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a real model."""
    return {key: tuple(shape) for key, shape in json.loads((KEYS / name).read_text()).items()}


def hollow(name: str) -> dict[str, Tensor]:
    """Tensors of these keys and shapes that take no memory."""
    return {key: torch.zeros(()).expand(shape) for key, shape in listed(name).items()}


def module_of(shapes: dict[str, tuple[int, ...]]) -> torch.nn.Module:
    """A module whose state dict has exactly these keys and shapes, filled with zeros."""
    root = torch.nn.Module()
    for key, shape in shapes.items():
        *path, name = key.split('.')
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        if 'position_index' in name:
            module.register_buffer(name, torch.zeros(shape, dtype=torch.int64))
        else:
            module.register_parameter(name, torch.nn.Parameter(torch.zeros(shape)))
    return root
