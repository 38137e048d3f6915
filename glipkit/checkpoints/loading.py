"""Putting a checkpoint of any layout into a model, whole or not at all."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from glipkit.checkpoints.differences import describe, refuse
from glipkit.checkpoints.files import check_target, read_file, read_training_state
from glipkit.checkpoints.glip import layouts
from glipkit.checkpoints.glip.official import swin_rows
from glipkit.checkpoints.glip.structure import INDEX_BUFFER, Structure, count
from glipkit.checkpoints.hub import resolve
from glipkit.checkpoints.key_table import KeyTable
from glipkit.common.digests import file_sha256
from glipkit.errors import UserError


@dataclass(frozen=True)
class LoadReport:
    """What was loaded from where.

    Args:
        path: The file.
        layout: ``'official'``, ``'mmdet'``, ``'glipkit'``, or ``'backbone'`` and
            ``'text encoder'`` for files that hold no more than that.
        sha256: Of the file.
        loaded: Tensors that went into the model.
        aside: Tensors of the file that the model has no use for.
        untouched: Tensors of the model that such a file never holds.
        ignored: Top-level entries of the file that are no weights.
    """

    path: Path
    layout: str
    sha256: str
    loaded: int
    aside: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f'{self.loaded} tensors from {self.path} ({self.layout} layout'
        text += f', sha256 {self.sha256[:12]})'
        if self.aside:
            text += f', {len(self.aside)} without use here'
        if self.untouched:
            text += f', {len(self.untouched)} of the model not in such files'
        return text


def load_checkpoint(model: nn.Module, path: str | Path) -> LoadReport:
    """Loads a GLIP checkpoint in the official, mmdet's or glipkit's layout into a detector.

    Args:
        model: The detector, wrapped for distributed training or not.
        path: A file, or a name on the hub (see :func:`~.hub.resolve`).

    Raises:
        UserError: When the file cannot be read safely, or one tensor is missing, unexpected or of
            another shape. The model is then as it was.
    """
    path = resolve(path)
    checkpoint = layouts.read(path)
    model = _unwrap(model)
    wanted = _shapes(model.state_dict())
    said = describe(wanted, _shapes(checkpoint.state))
    if said:
        ours, theirs = _name(model.state_dict(), model), _name(checkpoint.state, None)
        raise refuse(f'a checkpoint of {ours}', f'{path} of {theirs}', said,
                     'pass the config that the checkpoint belongs to, or another checkpoint')
    model.load_state_dict(checkpoint.state, strict=False)
    return LoadReport(path, checkpoint.layout, file_sha256(path), len(checkpoint.state),
                      tuple(checkpoint.aside), (), checkpoint.ignored)


def save_checkpoint(model: nn.Module, path: str | Path, force: bool = False,
                    dtype: torch.dtype | None = None) -> str:
    """Writes a detector's weights in our layout, atomically.

    Args:
        model: The detector, wrapped or not.
        path: ``.safetensors`` or ``.pth``.
        force: Whether to replace a file.
        dtype: What to store floating-point tensors as; loading casts them back.

    Returns:
        The SHA-256 of the file.
    """
    path = check_target(path, force)
    state = {key: tensor.detach().to(dtype) if dtype and tensor.is_floating_point() else tensor
             for key, tensor in _unwrap(model).state_dict().items()
             if not key.endswith(INDEX_BUFFER)}
    layouts.write(layouts.Checkpoint(state), path)
    return file_sha256(path)


def read_training_checkpoint(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """What a runner resumes from or starts from, read without running code.

    Args:
        path: A checkpoint that training wrote, or weights alone in any of the three layouts; file
            or hub name.
        map_location: As in :func:`torch.load`.

    Returns:
        mmengine's dictionary: ``state_dict``, ``meta``, ``optimizer``... For weights alone the
        ``state_dict``, in our layout, and an empty ``meta``.

    Raises:
        UserError: As :func:`~.files.read_file`.
    """
    path = resolve(path)
    content = read_training_state(path, map_location)
    if content is not None:
        return content
    return {'state_dict': layouts.with_index_buffers(layouts.read(path).state), 'meta': {}}


def load_text_encoder(encoder: nn.Module, path: str | Path) -> LoadReport:
    """Loads BERT weights (Hugging Face's file, or those in a GLIP checkpoint) into an encoder.

    Args:
        encoder: A BertEncoder.
        path: ``model.safetensors``, ``pytorch_model.bin`` or a GLIP checkpoint; file or hub name.

    Raises:
        UserError: As :func:`load_checkpoint`.
    """
    return _load_part(encoder, path, 'text_encoder.', 'text encoder', _bert_state)


def load_backbone(backbone: nn.Module, path: str | Path) -> LoadReport:
    """Loads Swin weights (ImageNet's file, or those in a GLIP checkpoint) into a backbone.

    The norms of the outputs are no part of ImageNet files and stay as they are.

    Args:
        backbone: mmdet's SwinTransformer.
        path: A file of the Swin authors, of timm, of mmdet, or a GLIP checkpoint; file or hub name.

    Raises:
        UserError: As :func:`load_checkpoint`.
    """
    return _load_part(backbone, path, 'backbone.', 'backbone', _swin_state)


_Reader = Callable[['dict[str, Tensor]'], 'tuple[dict[str, Tensor], list[str], list[str]]']


def _load_part(module: nn.Module, name: str | Path, stem: str, part: str,
               read_part: _Reader) -> LoadReport:
    path = resolve(name)
    raw = read_file(path)
    try:
        layouts.detect(raw.state, path)
    except UserError:
        layout = part
        state, unknown, aside = read_part(raw.state)
    else:
        checkpoint = layouts.read(path)
        layout, unknown = checkpoint.layout, []
        state = {k[len(stem):]: v for k, v in checkpoint.state.items() if k.startswith(stem)}
        aside = [k for k in checkpoint.state if not k.startswith(stem)]
    wanted = _shapes(module.state_dict())
    untouched = [key for key in wanted
                 if layout == 'backbone' and re.match(r'norm\d+\.', key) and key not in state]
    for key in untouched:
        del wanted[key]
    said = describe(wanted, _shapes(state), unknown)
    if said:
        raise refuse(f'weights of this {part}', path, said,
                     f'pass a file of the same {part}, or change its sizes in the config')
    module.load_state_dict(state, strict=False)
    return LoadReport(path, layout, file_sha256(path), len(state), tuple(aside), tuple(untouched),
                      raw.ignored)


def _bert_state(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
    found, aside = {}, []
    for key, tensor in state.items():
        tail = re.sub(r'^(module\.)?(bert\.)?', '', key)
        if re.match(r'cls\.|pooler\.|embeddings\.position_ids$', tail):
            aside.append(key)
            continue
        # TensorFlow's names, in the first files that were published.
        tail = re.sub(r'LayerNorm\.gamma$', 'LayerNorm.weight', tail)
        found[re.sub(r'LayerNorm\.beta$', 'LayerNorm.bias', tail)] = tensor
    return found, [], aside


def _swin_state(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
    state = {re.sub(r'^(module\.)?(backbone\.)?', '', key): value for key, value in state.items()}
    aside = [key for key in state if re.match(r'(head|norm)\.', key) or key.endswith('.attn_mask')]
    state = {key: tensor for key, tensor in state.items() if key not in aside}
    if any(key.startswith('stages.') for key in state):
        return state, [], aside
    last = count(state, 'layers.') - 1
    if f'layers.{last}.downsample.norm.weight' in state:
        # timm puts a stage's patch merging before its blocks, the Swin authors after them.
        state = {re.sub(r'^layers\.(\d+)\.downsample\.',
                        lambda m: f'layers.{int(m[1]) - 1}.downsample.', key): tensor
                 for key, tensor in state.items()}
    found, unknown, _ = KeyTable(swin_rows('', '')).translate(state, to_ours=True)
    return found, unknown, aside


def _unwrap(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _name(state: dict[str, Tensor], model: nn.Module | None) -> str:
    try:
        return str(Structure.from_state(state))
    except UserError:
        return type(model).__name__ if model is not None else 'another model'
