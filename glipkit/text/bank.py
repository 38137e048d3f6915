"""Embeddings of many names in one file: the words that a model may choose from.

The file is a safetensors with the tensor ``embeddings`` (N, D), not normalised, and metadata:
``names``, ``counts`` and ``templates`` as JSON lists, ``encoder`` as text.
"""
from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from glipkit.errors import UserError
from glipkit.files import write_encoded

FORMAT = 'glipkit text bank'


@dataclass(frozen=True)
class TextBank:
    """Names and their embeddings.

    Attributes:
        names: N different names, in the order of the rows.
        embeddings: (N, D) float32 or float16, means over templates, not normalised.
        counts: How often each name was seen in captions; None where that is not known.
        templates: Sentences that the names were put into; empty where that is not known.
        encoder: What is known of the encoder, e.g. a digest of its weights.

    Raises:
        UserError: No name, a name twice, another number of names than rows or counts, or numbers
            that are not finite.
    """
    names: tuple[str, ...]
    embeddings: Tensor
    counts: tuple[int, ...] | None = None
    templates: tuple[str, ...] = ()
    encoder: str = ''

    def __post_init__(self) -> None:
        for field in ('names', 'counts', 'templates'):
            value = getattr(self, field)
            object.__setattr__(self, field, value if value is None else tuple(value))
        if self.embeddings.dim() != 2 or not self.embeddings.is_floating_point():
            raise UserError('embeddings as one floating-point matrix (names, channels)',
                            f'{tuple(self.embeddings.shape)} {self.embeddings.dtype}',
                            'save one row for each name')
        if not self.names:
            raise UserError('at least one name', 'none', 'give more captions or a lower threshold')
        for what, values in (('embeddings', self.embeddings), ('counts', self.counts)):
            if values is not None and len(values) != len(self.names):
                raise UserError(f'as many {what} as names', f'{len(values)} and '
                                f'{len(self.names)}', 'use the names that the file was made from')
        if len(set(self.names)) < len(self.names):
            twice = next(name for i, name in enumerate(self.names) if name in self.names[:i])
            raise UserError('different names', f'{twice!r} twice', 'remove one of them')
        if not self.embeddings.isfinite().all():
            raise UserError('finite embeddings', 'NaN or infinity', 'make the file again')

    def __len__(self) -> int:
        return len(self.names)

    @property
    def width(self) -> int:
        """Channels D."""
        return self.embeddings.shape[1]

    def check_width(self, width: int) -> None:
        """Refuses embeddings of another space.

        Args:
            width: Channels of the model that would read the bank.

        Raises:
            UserError: The bank has another number of channels.
        """
        if self.width != width:
            raise UserError(f'embeddings of {width} channels, as the model has',
                            f'{self.width} channels',
                            'make the bank with the encoder of this model')

    def select(self, names: Sequence[str]) -> TextBank:
        """The rows of some names, in their order.

        Raises:
            UserError: A name is not there.
        """
        rows = {name: i for i, name in enumerate(self.names)}
        missing = [name for name in names if name not in rows]
        if missing:
            raise UserError('names of the bank', f'{missing[0]!r} and {len(missing) - 1} more '
                            'that it does not have', 'embed them with the text encoder')
        chosen = [rows[name] for name in names]
        counts = None if self.counts is None else tuple(self.counts[i] for i in chosen)
        return TextBank(tuple(names), self.embeddings[chosen], counts, self.templates,
                        self.encoder)

    def write(self, path: str | Path) -> None:
        """Writes the file, which appears complete or not at all.

        Raises:
            UserError: Nothing can be written there.
        """
        metadata = dict(format=FORMAT, names=json.dumps(self.names, ensure_ascii=False),
                        templates=json.dumps(self.templates, ensure_ascii=False),
                        encoder=self.encoder)
        if self.counts is not None:
            metadata['counts'] = json.dumps(self.counts)
        content = save({'embeddings': self.embeddings.detach().cpu().contiguous()}, metadata)
        write_encoded(path, lambda file: file.write(content))

    @classmethod
    def read(cls, path: str | Path, names: str | Path | Sequence[str] | None = None) -> TextBank:
        """Reads a bank, or a bare matrix together with its names.

        Args:
            path: A file that `write` made, or a ``.pth`` with one tensor (N, D) or a dict with a
                single one, as published matrices are.
            names: Names of a bare matrix: a list, or a text file with one name a line whose count
                may follow after a comma.

        Raises:
            UserError: The file is damaged or of another kind, or names are missing.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError('a file of embeddings', f'no file {path}', 'check the path')
        if path.suffix == '.safetensors':
            matrix, metadata = _read_safetensors(path)
        else:
            matrix, metadata = _read_pickle(path), {}
        if names is not None:
            found, counts = read_names(names) if isinstance(names, (str, Path)) else (names, None)
            return cls(tuple(found), matrix, counts)
        if 'names' not in metadata:
            raise UserError('the names of the rows', f'{path} without names',
                            'pass the file of names that belongs to it')
        return cls(embeddings=matrix, **metadata)


def read_names(path: str | Path) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Names, one a line, and their counts where every line ends in a comma and a number.

    Raises:
        UserError: The file cannot be read or holds no name.
    """
    try:
        text = Path(path).read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError('a text file with one name a line', f'{path} ({error})',
                        'check the path and the encoding (UTF-8)') from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError('a text file with one name a line', f'{path}, which is empty',
                        'write the names into it')
    parts = [line.rsplit(',', 1) for line in lines]
    if all(len(part) == 2 and part[1].strip().isdecimal() for part in parts):
        return tuple(p[0].strip() for p in parts), tuple(int(p[1]) for p in parts)
    return tuple(lines), None


def _read_safetensors(path: Path) -> tuple[Tensor, dict[str, Any]]:
    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            found = dict(file.metadata() or {})
            matrix = _only({key: file.get_tensor(key) for key in file.keys()}, path)  # noqa: SIM118
        lists = {key: json.loads(found[key]) for key in ('names', 'counts', 'templates')
                 if key in found}
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise UserError('a complete file of embeddings', f'{path} ({error})'.splitlines()[0],
                        'make or copy it again') from error
    return matrix, {**lists, 'encoder': found.get('encoder', '')}


def _read_pickle(path: Path) -> Tensor:
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError('a file with one matrix of embeddings (.safetensors, .pth)',
                        f'{path} ({type(error).__name__}: cut off, or not a plain tensor)',
                        'make or copy it again') from error
    return _only(content, path)


def _only(content: Any, path: Path) -> Tensor:
    """The matrix itself, or that of a mapping with a single tensor."""
    if isinstance(content, Mapping):
        tensors = [value for value in content.values() if isinstance(value, Tensor)]
        content = content.get('embeddings', tensors[0] if len(tensors) == 1 else None)
    if not isinstance(content, Tensor):
        raise UserError('one matrix of embeddings', f'{path} with something else',
                        'pass the file with one tensor (names, channels)')
    return content
