"""Putting a checkpoint of any layout into a model, whole or not at all."""
from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glipkit.checkpoints.differences import describe, refuse, shapes_of
from glipkit.checkpoints.family import (
    BACKBONE,
    PROPOSALS,
    TEXT_ENCODER,
    Checkpoint,
    PartState,
    as_it_is,
    family_of,
    never,
    recognise,
    tower_of,
)
from glipkit.checkpoints.files import RawFile, check_target, read_file, read_training_state
from glipkit.checkpoints.hub import resolve
from glipkit.checkpoints.layouts import from_raw, read_own, unknown_layout, write
from glipkit.checkpoints.soundness import check_sound, check_statistics
from glipkit.checkpoints.wrappers import bare, keys_of, state_of, unwrap
from glipkit.common.digests import file_sha256
from glipkit.errors import UserError


@dataclass(frozen=True)
class LoadReport:
    """What was loaded from where.

    Args:
        path: The file.
        layout: The layout of the file: ``'glipkit'``, one of the model's family, or
            ``'backbone'`` and ``'text encoder'`` for files that hold no more than that.
        sha256: Digest of the file.
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
    """Loads a checkpoint into a detector: its own state dict, or a layout that its family knows.

    Args:
        model: The detector, compiled, averaged, wrapped for distributed training or none of it.
        path: A file, or a name on the hub (see :func:`~.hub.resolve`).

    Raises:
        UserError: When the file cannot be read safely, or one tensor is missing, unexpected, of
            another shape, not finite or of another kind. The model is then as it was.

    Warns:
        UserWarning: Parts of the model keep their values, as such files never hold them.
    """
    path = resolve(path)
    checkpoint = _checkpoint_for(state_of(model), read_file(path), path)
    return put(model, checkpoint, path)


def put(model: nn.Module, checkpoint: Checkpoint, path: Path) -> LoadReport:
    """:func:`load_checkpoint` for what has been read already; ``path`` is its file."""
    model = unwrap(model)
    own = state_of(model)
    family = family_of(own)
    fit = as_it_is if family is None else family.fit
    checkpoint, untouched, remark = fit(checkpoint, own, path)
    wanted = {key: shape for key, shape in shapes_of(own).items() if key not in untouched}
    problems = describe(wanted, shapes_of(checkpoint.state),
                        derived=never if family is None else family.derived)
    if problems:
        ours = _name(own) or type(model).__name__
        theirs = _name(checkpoint.state) or 'another model'
        raise refuse(f'a checkpoint of {ours}', f'{path} of {theirs}', problems,
                     'pass the config that the checkpoint belongs to, or another checkpoint')
    check_sound(checkpoint.state, own, path)
    check_statistics(checkpoint.state, wanted, path)
    if remark:
        warnings.warn(remark, stacklevel=3)
    names = keys_of(model)
    model.load_state_dict({key: checkpoint.state[name] for key, name in names.items()
                           if name in checkpoint.state}, strict=False)
    return LoadReport(path, checkpoint.layout, file_sha256(path), len(checkpoint.state),
                      tuple(checkpoint.aside), untouched, checkpoint.ignored)


def _checkpoint_for(own: Mapping[str, Tensor], raw: RawFile, path: Path) -> Checkpoint:
    """What a file holds for a model with these tensors.

    A state dict with the model's very keys needs no family. Neither does one that none knows, as
    long as it shares a key with the model: the comparison that follows names what differs.
    """
    if raw.state.keys() != own.keys() and recognise(raw.state) is not None:
        return from_raw(raw, path)
    checkpoint = read_own(raw, path)
    if not own.keys() & checkpoint.state.keys():
        raise unknown_layout(raw, path)
    return checkpoint


def save_checkpoint(model: nn.Module, path: str | Path, force: bool = False,
                    dtype: torch.dtype | None = None) -> str:
    """Writes a detector's weights in our layout, atomically.

    Args:
        model: The detector, as in :func:`load_checkpoint`.
        path: ``.safetensors`` or ``.pth``.
        force: Whether to replace a file.
        dtype: Type in which floating-point tensors are stored; loading casts them back.

    Returns:
        The SHA-256 of the file.

    Raises:
        UserError: Nothing can be written there, or loading would refuse what is written.
    """
    path = check_target(path, force)
    own = state_of(model)
    family = family_of(own)
    state = {key: tensor.detach().to(dtype if dtype and tensor.is_floating_point() else None)
             for key, tensor in own.items() if family is None or not family.derived(key)}
    check_sound(state, own, path, 'save a model that has not diverged, in a precision that holds '
                                  'its values')
    write(Checkpoint(state), path)
    return file_sha256(path)


def read_training_checkpoint(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """What a runner resumes from or starts from, read without running code.

    Args:
        path: A checkpoint that training wrote, or weights alone in any layout; file or hub name.
        map_location: Device of the tensors, see :func:`torch.load`.

    Returns:
        mmengine's dictionary: ``state_dict``, ``meta``, ``optimizer``... For weights alone the
        ``state_dict``, in our layout, and an empty ``meta``.

    Raises:
        UserError: As :func:`~.files.read_file`.
    """
    path = resolve(path)
    content = read_training_state(path, map_location)
    if content is not None:
        return {**content, 'state_dict': bare(content['state_dict'])}
    raw = read_file(path)
    state = (read_own if recognise(raw.state) is None else from_raw)(raw, path).state
    family = family_of(state)
    return {'state_dict': state if family is None else family.complete(state), 'meta': {}}


def load_text_encoder(encoder: nn.Module, path: str | Path) -> LoadReport:
    """Loads the weights of a text encoder: its published file, or those in a whole checkpoint.

    Args:
        encoder: The text encoder.
        path: E.g. ``model.safetensors``, ``pytorch_model.bin`` or a detector's checkpoint; file or
            hub name.

    Raises:
        UserError: As :func:`load_checkpoint`.
    """
    return _load_part(encoder, path, 'text_encoder.', TEXT_ENCODER)


def load_backbone(backbone: nn.Module, path: str | Path) -> LoadReport:
    """Loads the weights of a backbone: its published file, or those in a whole checkpoint.

    What published files never hold, such as norms of the outputs, stays as it is.

    Args:
        backbone: The backbone.
        path: A file of its authors, of timm, of mmdet, or a detector's checkpoint; file or hub
            name.

    Raises:
        UserError: As :func:`load_checkpoint`.
    """
    return _load_part(backbone, path, 'backbone.', BACKBONE)


def load_proposals(network: nn.Module, path: str | Path) -> LoadReport:
    """Loads the weights of a proposal network, from the file of the detector that it is a part of.

    Args:
        network: ``backbone``, ``neck`` and ``rpn_head`` of mmdet.
        path: A file of detectron2, of mmdet, or of a detector that was trained with this network's
            boxes and holds it too; file or hub name.

    Raises:
        UserError: As :func:`load_checkpoint`.
    """
    return _load_part(network, path, '', PROPOSALS)


def _load_part(module: nn.Module, name: str | Path, stem: str, part: str) -> LoadReport:
    path = resolve(name)
    raw = read_file(path)
    own = module.state_dict(keep_vars=True)
    tower, found = tower_of(part, own), recognise(raw.state)
    # A proposal network stands beside the model that a family reads.
    if found is not None and part != PROPOSALS:
        layout = found.layout
        read = _under(stem, from_raw(raw, path).state)
    else:
        layout = part
        read = _under(stem, read_own(raw, path).state) if tower is None else tower.read(raw.state)
    wanted = shapes_of(own)
    untouched = [key for key in wanted if layout == part and key not in read.state
                 and tower is not None and tower.absent(key)]
    for key in untouched:
        del wanted[key]
    derived = never if tower is None else tower.derived
    state = {key: tensor for key, tensor in read.state.items()
             if key in own or not derived(key)}
    problems = describe(wanted, shapes_of(state), read.unknown, derived=derived)
    if problems:
        raise refuse(f'weights of this {part}', path, problems,
                     f'pass a file of the same {part}, or change its sizes in the config')
    check_sound(state, own, path)
    check_statistics(state, own, path)
    module.load_state_dict(state, strict=False)
    return LoadReport(path, layout, file_sha256(path), len(state), tuple(read.aside),
                      tuple(untouched), raw.ignored)


def _under(stem: str, state: Mapping[str, Tensor]) -> PartState:
    """The tensors below a stem, the others aside; all of them where none is below it."""
    inside = {key[len(stem):]: tensor for key, tensor in state.items() if key.startswith(stem)}
    if not inside:
        return PartState(dict(state), [], [])
    return PartState(inside, [], [key for key in state if not key.startswith(stem)])


def fit_state(model: nn.Module, checkpoint: Mapping[str, Any], path: str | Path
              ) -> tuple[dict[str, Any], str]:
    """What of a checkpoint a training of a model may begin with.

    Args:
        model: The detector, not wrapped.
        checkpoint: From :func:`read_training_checkpoint`.
        path: The file, for messages.

    Returns:
        The checkpoint, its ``state_dict`` completed by the model's own values for parts that such
        files never hold; and a line that says so, empty where nothing is to be said.

    Raises:
        UserError: The file lacks a part that the model cannot do without.
    """
    own = model.state_dict(keep_vars=True)
    family = family_of(own)
    if family is None or checkpoint['state_dict'].keys() == own.keys():
        return dict(checkpoint), ''
    fitted = family.fit(Checkpoint(dict(checkpoint['state_dict'])), own, path)
    state = dict(fitted.checkpoint.state)
    state |= {key: own[key].detach().clone() for key in own
              if key in fitted.untouched or key not in state and family.derived(key)}
    # Averaged copies belong to the training that is left; what was published is 'state_dict'.
    kept = {key: value for key, value in checkpoint.items() if key != 'ema_state_dict'}
    return {**kept, 'state_dict': state}, fitted.note


def check_state(model: nn.Module, checkpoint: Mapping[str, Any], path: str | Path,
                whole: bool = True) -> None:
    """Refuses what a runner cannot put into a model, its averaged weights included.

    Args:
        model: The detector, not wrapped.
        checkpoint: From :func:`read_training_checkpoint`.
        path: The file, for messages.
        whole: Whether no tensor may be missing or unexpected.

    Raises:
        UserError: With the tensors that do not fit.
    """
    own, averaged = model.state_dict(keep_vars=True), checkpoint.get('ema_state_dict')
    states = {'': checkpoint['state_dict'],
              'averaged ': bare(averaged) if isinstance(averaged, Mapping) else {}}
    for kind, state in states.items():
        if not all(isinstance(tensor, Tensor) for tensor in state.values()):
            raise UserError('tensors as weights', f'{path} with others', 'pass another file')
        found, wanted = shapes_of(state), shapes_of(own)
        if kind:  # hooks swap the two
            wanted = {key: wanted[key] for key in found if key in wanted and key in states['']}
        elif not whole:
            wanted = {key: wanted[key] for key in found if key in wanted}
            found = {key: found[key] for key in wanted}
        problems = describe(wanted, found)
        if problems:
            raise refuse(f'a checkpoint of {_name(own) or type(model).__name__}', path,
                         [kind + problem for problem in problems],
                         'pass the config that the checkpoint belongs to, or another checkpoint')
        check_sound(state, own, path)


def _name(state: Mapping[str, Tensor]) -> str | None:
    family = family_of(state)
    return None if family is None else family.describe(state)
