"""Rewriting a checkpoint from one layout to another."""
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from glipkit.apis.build import build_model, find_config, read_config
from glipkit.checkpoints import check_target, known_layouts, read, write
from glipkit.checkpoints.differences import fold
from glipkit.checkpoints.family import ADDED_TEXT, OWN, Checkpoint, family_of
from glipkit.checkpoints.hub import resolve
from glipkit.checkpoints.interpolation import between, check_alpha
from glipkit.checkpoints.loading import put
from glipkit.common.digests import file_sha256
from glipkit.errors import UserError

#: Name of a number format -> how floating-point weights are stored in it.
DTYPES = {'float32': torch.float32, 'float16': torch.float16, 'bfloat16': torch.bfloat16}


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did.

    Args:
        source: The file that was read.
        target: The file that was written.
        layouts: Layouts of the source and of the target.
        model: Description of the model.
        read: Number of tensors of the model in the source.
        changed: How often a tensor was re-ordered or re-shaped, from the source to our layout and
            from there to the target; all others are the same numbers under another key.
        kept: Number of tensors that only the source's layout has and that were copied too.
        left: Tensors of this kind that the target's layout cannot take.
        ignored: Entries of the source that are not weights, and were not copied.
        written: Number of tensors in the target.
        sha256: Digests of source and target.
        mixed: The other model of an interpolation and the source's share; None without one.
    """

    source: Path
    target: Path
    layouts: tuple[str, str]
    model: str
    read: int
    changed: int
    kept: int
    left: tuple[str, ...]
    ignored: tuple[str, ...]
    written: int
    sha256: tuple[str, str]
    mixed: tuple[Path, float] | None = None

    def __str__(self) -> str:
        lines = [f'{self.source} ({self.layouts[0]}) -> {self.target} ({self.layouts[1]})',
                 f'model    {self.model}',
                 f'tensors  {self.read} read, {self.changed} times re-ordered or re-shaped; '
                 f'{self.kept} more kept aside; {self.written} written']
        if self.mixed:
            lines.append(f'mixed    {self.mixed[1]:g} of it, {1 - self.mixed[1]:g} of '
                         f'{self.mixed[0]}')
        if self.left:
            lines.append(f'left out {fold(self.left)}: the {self.layouts[1]} layout has no '
                         'place for them')
        if self.ignored:
            lines.append(f'skipped  {", ".join(self.ignored)}: no weights of the model')
        lines += [f'sha256   {self.sha256[0]}  {self.source}',
                  f'sha256   {self.sha256[1]}  {self.target}']
        return '\n'.join(lines)


def convert_checkpoint(source: str | Path, target: str | Path, to: str = 'glipkit',
                       force: bool = False, dtype: str | None = None,
                       config: str | Path | None = None,
                       text: str | Path | None = None,
                       interpolate: str | Path | None = None,
                       alpha: float | None = None) -> ConvertReport:
    """Rewrites a checkpoint.

    Args:
        source: File or hub name, in any layout of a known family or in the form that mmengine's
            training writes.
        target: File that ends in ``.safetensors`` or ``.pth``.
        to: ``'glipkit'``, ``'official'`` for what the authors' programs read, or another layout of
            the family, such as ``'openai'``.
        force: Whether to replace an existing file.
        dtype: Name from `DTYPES` of the type in which floating-point weights are stored; loading
            casts them back. None keeps their type.
        config: Config of a model that the weights must fit; None only checks that they fit each
            other.
        text: File or hub name of a checkpoint whose text encoder joins a detector that was
            published without one.
        interpolate: File or hub name of a checkpoint to mix with: what the source began with.
        alpha: Share of the source in the mixture, from 0 to 1.

    Raises:
        UserError: When a file cannot be read or written, when one of ``interpolate`` and ``alpha``
            is given alone, when two models that are mixed differ in tensors, or when one tensor of
            the model is missing, unknown, or of another shape than the rest asks for. Nothing is
            written then.
    """
    layouts = known_layouts()
    if to not in layouts:
        raise UserError(f'one of {", ".join(layouts)} as target layout', repr(to), 'pass one')
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f'one of {", ".join(DTYPES)} as number format', repr(dtype), 'pass one')
    if (interpolate is None) != (alpha is None):
        raise UserError('--interpolate FILE with --alpha SHARE (interpolate=..., alpha=...)',
                        'one of them', 'pass both or none')
    if alpha is not None:
        check_alpha(alpha)
    target = check_target(target, force)
    source = resolve(source)
    checkpoint, mixed = read(source), None
    if text is not None:
        checkpoint = _with_text(checkpoint, source, resolve(text))
    if interpolate is not None:
        mixed = resolve(interpolate), alpha
        checkpoint = _mixed(checkpoint, source, *mixed)
    if config is not None:
        put(build_model(read_config(find_config(config))), checkpoint, source)
    if to == 'official' and (family := family_of(checkpoint.state)) is not None:
        to = family.official(checkpoint.state)
    model = _identify(checkpoint, source, to)
    if dtype is not None:
        checkpoint = replace(checkpoint, state={
            key: tensor.to(DTYPES[dtype]) if tensor.is_floating_point() else tensor
            for key, tensor in checkpoint.state.items()})
    digest = file_sha256(source)
    written = write(checkpoint, target, to)
    return ConvertReport(source, target, (checkpoint.layout, to), model,
                         len(checkpoint.state), checkpoint.changed + written.changed,
                         len(set(checkpoint.aside) - set(written.left)), written.left,
                         checkpoint.ignored, written.tensors, (digest, file_sha256(target)), mixed)


_TEXT, _TEACHER, _TEMPERATURE = 'text_encoder.', 'teacher_backbone.', ('logit_scale', )


def _with_text(checkpoint: Checkpoint, source: Path, path: Path) -> Checkpoint:
    """A checkpoint with the text encoder of another file; the file's digest is noted."""
    if any(key.startswith(_TEXT) for key in checkpoint.state):
        raise UserError('a checkpoint without text encoder, to take one from --text (text=...)',
                        f'{source} with one', 'leave --text out')
    text = {key: tensor for key, tensor in read(path).state.items() if key.startswith(_TEXT)}
    if not text:
        raise UserError('a text encoder in the file of --text (text=...)', f'{path} without one',
                        'pass the weights of the model that the detector was made from')
    return replace(checkpoint, state={**checkpoint.state, **text},
                   source={**checkpoint.source, ADDED_TEXT: file_sha256(path)})


def _mixed(checkpoint: Checkpoint, source: Path, path: Path, alpha: float) -> Checkpoint:
    """A checkpoint between that one and another file's.

    A teacher that a training file holds is left out. A temperature that only one has stays as it
    is, for files of one tower lose it.
    """
    state = {key: tensor for key, tensor in checkpoint.state.items()
             if not key.startswith(_TEACHER)}
    other = {key: tensor for key, tensor in read(path).state.items()
             if not key.startswith(_TEACHER)}
    alone = {key: state.pop(key, other.pop(key, None)) for key in _TEMPERATURE
             if (key in state) != (key in other)}
    return replace(checkpoint, state={**between(state, other, alpha, (source, path)), **alone})


def _identify(checkpoint: Checkpoint, source: Path, to: str) -> str:
    """Description of the model, after a check that its tensors are complete and fit layout ``to``.

    For a model of no known family only its config says which tensors it has: loading compares them.
    """
    family = family_of(checkpoint.state)
    if family is not None:
        return family.check(checkpoint, source, to)
    if to != OWN:
        raise UserError(f'a model of a family that has the {to} layout', f'{source} of none',
                        f'pass --to {OWN} (to={OWN!r})')
    return 'custom: of no known family'
