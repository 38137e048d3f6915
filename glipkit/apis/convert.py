"""Rewriting a checkpoint from one layout to another."""
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from glipkit.apis.build import build_model, find_config, read_config
from glipkit.checkpoints import (
    LAYOUTS,
    Checkpoint,
    check_complete,
    check_target,
    load_checkpoint,
    read,
    write,
)
from glipkit.checkpoints.hub import resolve
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
        layouts: Layout of the one and of the other.
        model: The model, in words.
        read: Tensors of the model in the source.
        changed: How often a tensor was re-ordered or re-shaped on the way to our layout and from
            there to the target's; all others are the same numbers under another key.
        kept: Tensors that belong to the source's layout alone and travel along.
        left: Those of them that the target's layout cannot take.
        ignored: Entries of the source that are no weights, and were not copied.
        written: Tensors in the target.
        sha256: Of source and target.
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

    def __str__(self) -> str:
        lines = [f'{self.source} ({self.layouts[0]}) -> {self.target} ({self.layouts[1]})',
                 f'model    {self.model}',
                 f'tensors  {self.read} read, {self.changed} times re-ordered or re-shaped; '
                 f'{self.kept} more kept aside; {self.written} written']
        if self.left:
            lines.append(f'left out {", ".join(self.left)}: the {self.layouts[1]} layout has no '
                         'place for them')
        if self.ignored:
            lines.append(f'skipped  {", ".join(self.ignored)}: no weights of the model')
        lines += [f'sha256   {self.sha256[0]}  {self.source}',
                  f'sha256   {self.sha256[1]}  {self.target}']
        return '\n'.join(lines)


def convert_checkpoint(source: str | Path, target: str | Path, to: str = 'glipkit',
                       force: bool = False, dtype: str | None = None,
                       config: str | Path | None = None) -> ConvertReport:
    """Rewrites a GLIP checkpoint.

    Args:
        source: File or hub name, in any of the three layouts or as mmengine's training writes it.
        target: ``.safetensors`` or ``.pth``.
        to: ``'glipkit'``, ``'official'`` or ``'mmdet'``.
        force: Whether to replace an existing file.
        dtype: Name from `DTYPES`: what to store floating-point weights as; loading casts them
            back. None leaves them as they are.
        config: Config of a model that the weights must fit; None compares them with themselves.

    Raises:
        UserError: When a file cannot be read or written, or one tensor of the model is missing,
            unknown, or of another shape than the rest asks for. Nothing is written then.
    """
    if to not in LAYOUTS:
        raise UserError(f'one of {", ".join(LAYOUTS)} as target layout', repr(to), 'pass one')
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f'one of {", ".join(DTYPES)} as number format', repr(dtype), 'pass one')
    target = check_target(target, force)
    source = resolve(source)
    if config is not None:
        load_checkpoint(build_model(read_config(find_config(config))), source)
    checkpoint = read(source)
    model = _identify(checkpoint, source, to)
    if dtype is not None:
        checkpoint = replace(checkpoint, state={
            key: tensor.to(DTYPES[dtype]) if tensor.is_floating_point() else tensor
            for key, tensor in checkpoint.state.items()})
    digest = file_sha256(source)
    written = write(checkpoint, target, to)
    return ConvertReport(source, target, (checkpoint.layout, to), str(model),
                         len(checkpoint.state), checkpoint.changed + written.changed,
                         len(checkpoint.aside) - len(written.left), written.left,
                         checkpoint.ignored, written.tensors, (digest, file_sha256(target)))


def _identify(checkpoint: Checkpoint, source: Path, to: str) -> str:
    """The model in words, once its tensors are known to make one up.

    Sizes can be read off a Swin backbone, as published models have. One with another backbone, as
    glip-mini has, exists in our own layout alone; loading compares it with its config.
    """
    swin = any(key.startswith('backbone.patch_embed.') for key in checkpoint.state)
    if swin or checkpoint.layout != 'glipkit':
        return str(check_complete(checkpoint, source))
    parts = {key.partition('.')[0] for key in checkpoint.state}
    missing = {'backbone', 'neck', 'bbox_head', 'text_encoder'} - parts
    if missing:
        raise UserError('a whole GLIP model', f'{source} without {", ".join(sorted(missing))}',
                        'check that the file is complete and of this model family')
    if to != 'glipkit':
        raise UserError(f'a model with a Swin backbone for the {to} layout, which has no other',
                        f'{source} without one', 'pass --to glipkit (to=\'glipkit\')')
    return 'custom: no Swin backbone'
