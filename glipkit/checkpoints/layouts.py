"""Reading a checkpoint in whichever layout it is, and writing it in any its family knows.

Our own layout is the model's state dict: safetensors, or ``{'state_dict': ..., 'meta': ...}``.
What a file of another layout holds and no model of ours needs travels along in our files under
``_passthrough.``, so that a file that goes through glipkit and back is the same bit for bit.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from glipkit.checkpoints.differences import fold
from glipkit.checkpoints.family import (
    OWN,
    Checkpoint,
    Translated,
    families,
    family_of,
    known_layouts,
    recognise,
)
from glipkit.checkpoints.files import (
    RawFile,
    dump_source,
    read_file,
    write_pickle,
    write_safetensors,
)
from glipkit.errors import UserError

VERSION = 1
ASIDE = '_passthrough.'
_WRAPPED = 'module.'


class Written(NamedTuple):
    """What came of a checkpoint: how many tensors were written, how many of them were re-ordered or
    re-shaped on the way from our layout, and the keys kept aside that had no place."""

    tensors: int
    changed: int
    left: tuple[str, ...]


def read(path: str | Path) -> Checkpoint:
    """Reads a checkpoint in any layout of a known family, or one that glipkit wrote.

    Raises:
        UserError: When it is neither; or a tensor is missing, unknown or of the wrong shape for
            the model that the others make up. Files in our own layout are compared with a model
            when they are loaded, and with themselves when they are converted.
    """
    return from_raw(read_file(path), path)


def from_raw(raw: RawFile, path: str | Path) -> Checkpoint:
    """:func:`read` for what has been read already; ``path`` is for messages."""
    found = recognise(raw.state)
    if found is None:
        if raw.metadata.get('format') != OWN:
            raise unknown_layout(raw, path)
        return read_own(raw, path)
    if found.layout == OWN:
        return read_own(raw, path, found.prefix)
    state = _without(found.prefix, raw.state)
    checkpoint = found.family.to_own(state, found.layout, found.prefix, path)
    return replace(checkpoint, ignored=raw.ignored)


def unknown_layout(raw: RawFile, path: str | Path) -> UserError:
    """The error for a file whose keys no family knows."""
    names = ', '.join(family.name for family in families())
    return UserError(f'a checkpoint of {names} in a known layout ({", ".join(known_layouts())}), '
                     "or a model's own state dict",
                     f'{path} with tensors such as {fold(list(raw.state)[:4])}',
                     'pass a checkpoint of this model')


def read_own(raw: RawFile, path: str | Path, prefix: str | None = None) -> Checkpoint:
    """A checkpoint of a file in our own layout.

    Args:
        raw: Content of the file.
        path: Path of the file, for messages.
        prefix: Prefix of the keys; None removes the one that wrapping a model for distributed
            training leaves before all keys.

    Raises:
        UserError: When a newer glipkit wrote it, or its record of the former layout is damaged.
    """
    version = raw.metadata.get('version', str(VERSION))
    if not version.isdecimal() or int(version) > VERSION:
        raise UserError(f'a glipkit checkpoint of version {VERSION} or older',
                        f'{path} of version {version}', 'install a newer glipkit')
    if prefix is None:
        prefix = _WRAPPED if all(key.startswith(_WRAPPED) for key in raw.state) else ''
    state = _without(prefix, raw.state)
    aside = {key[len(ASIDE):]: state.pop(key) for key in list(state) if key.startswith(ASIDE)}
    return Checkpoint(state, OWN, _source(raw, path), aside, 0, raw.ignored)


def _source(raw: RawFile, path: str | Path) -> dict[str, Any]:
    """Where the file says its tensors come from: text and numbers, nothing else."""
    text = raw.metadata.get('source', '{}')
    try:
        source = json.loads(text)
        if not isinstance(source, dict) \
                or not all(isinstance(value, (str, int)) for value in source.values()):
            raise ValueError('it is no mapping to text and numbers')
    except ValueError as error:
        raise UserError("a glipkit checkpoint whose metadata 'source' is JSON",
                        f'{path} with {text[:60]!r} ({error})',
                        'convert it again from the original file') from error
    return source


def _without(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix):] if key.startswith(prefix) else key: tensor
            for key, tensor in state.items()}


def write(checkpoint: Checkpoint, path: Path, layout: str = OWN) -> Written:
    """Writes a checkpoint in our layout or another one of its family, atomically.

    Args:
        checkpoint: Checkpoint to write.
        path: File that ends in ``.safetensors`` or, for every layout, ``.pth``.
        layout: ``'glipkit'``, or a layout of the family.
    """
    if layout == OWN:
        return _write_own(checkpoint, path)
    state, changed, left = to_layout(checkpoint, layout)
    if path.suffix == '.safetensors':
        write_safetensors(state, path, {'format': 'pt'})
    else:
        entry = family_of(checkpoint.state).containers[layout]
        write_pickle({entry: state} if entry else state, path)
    return Written(len(state), changed, left)


def _write_own(checkpoint: Checkpoint, path: Path) -> Written:
    family = family_of(checkpoint.state)
    variant = 'custom' if family is None else family.variant(checkpoint.state)
    metadata = {'format': OWN, 'version': str(VERSION), 'variant': variant}
    source = checkpoint.source
    if not source and checkpoint.layout != OWN:
        source = {'layout': checkpoint.layout}
    if source:
        metadata['source'] = dump_source(source)
    aside = {ASIDE + key: tensor for key, tensor in checkpoint.aside.items()}
    if path.suffix == '.safetensors':
        write_safetensors({**checkpoint.state, **aside}, path, metadata)
    else:
        # Beside the state dict, not in it: mmengine and plain torch load these files too.
        content = {'state_dict': checkpoint.state, 'meta': metadata}
        write_pickle({**content, 'aside': aside} if aside else content, path)
    return Written(len(checkpoint.state) + len(aside), 0, ())


def to_layout(checkpoint: Checkpoint, layout: str) -> Translated:
    """The state dict of another layout.

    Args:
        checkpoint: In our layout, complete.
        layout: A layout of its family, not our own.

    Raises:
        UserError: For a layout that the family does not know, or tensors without a place in it.
    """
    family = family_of(checkpoint.state)
    layouts = () if family is None else tuple(family.containers)
    if layout not in layouts:
        whose = 'a model of no known family' if family is None else f'a {family.name} model'
        raise UserError(f'one of {", ".join((*layouts, OWN))} as layout of {whose}', repr(layout),
                        'pass one')
    return family.from_own(checkpoint, layout)
