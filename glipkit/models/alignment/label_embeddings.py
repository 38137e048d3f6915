"""One vector for each label: a sentence encoder reads the label in many sentences, then averages.

K labels, M templates, D channels of the encoder's features.
"""
from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.common.reporter import Bar, bar
from glipkit.errors import UserError
from glipkit.text.cache import autocast_state, fingerprint
from glipkit.text.encoders.contract import TextEncoder
from glipkit.text.templates import find_templates, write_sentences

TEXTS_AT_ONCE = 512
LONG_WORK = 4096
"""Texts from which on a bar shows how far the work is."""
_FEW = 8

Templates = str | Sequence[str] | None


class LabelEmbeddings:
    """Turns labels into a matrix, once for each label, template set and state of the encoder.

    Where no gradient is asked of the encoder, rows come from memory. They are forgotten when a
    weight has changed. A copy begins with an empty memory but keeps the bank.

    Args:
        average: ``'before'`` for the plain mean of the features, which are normalised later;
            ``'after'`` where each is normalised first. A text without templates is never.
        max_rows: Largest number of rows to remember; those used least recently go first.
        texts_at_once: Texts that the encoder reads in one batch.
        write: Function from templates and a label to its sentences.
    """

    def __init__(self, average: Literal['before', 'after'] = 'before', max_rows: int = 16384,
                 texts_at_once: int = TEXTS_AT_ONCE,
                 write: Callable[[Sequence[str], str], list[str]] = write_sentences) -> None:
        if average not in ('before', 'after'):
            raise UserError("average 'before' or 'after' normalisation", repr(average),
                            'choose one of the two')
        self.average, self.max_rows, self.texts_at_once = average, max_rows, texts_at_once
        self.write = write
        self._bank: dict[str, Tensor] = {}
        self._lock = threading.RLock()
        self.clear()

    def __getstate__(self) -> dict:
        kept = ('average', 'max_rows', 'texts_at_once', 'write', '_bank')
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forgets everything but the bank."""
        with self._lock:
            self._rows: OrderedDict[Hashable, Tensor] = OrderedDict()
            self._matrix: tuple[Hashable, Tensor] | None = None
            self._weights: Hashable = None

    def set_bank(self, names: Sequence[str], matrix: Tensor | None) -> None:
        """Takes the rows of these names from a matrix, whatever the templates, from now on.

        Texts without templates are never taken from it.

        Args:
            names: N names as a caller will give them; none for no bank.
            matrix: Embeddings (N, D), not normalised.

        Raises:
            UserError: Another number of rows than names.
        """
        if len(names) != (0 if matrix is None else len(matrix)):
            raise UserError('as many rows as names', f'{0 if matrix is None else len(matrix)} and '
                            f'{len(names)}', 'pass the names that belong to the matrix')
        with self._lock:
            self.clear()
            self._bank = dict(zip(names, () if matrix is None else matrix.detach().float()))

    def add_to_bank(self, names: Sequence[str], matrix: Tensor) -> None:
        """Takes the rows of these names, too, from a matrix (N, D); others stay as they are."""
        with self._lock:
            self.clear()
            self._bank = {**self._bank, **dict(zip(names, matrix.detach().float()))}

    def __call__(self, encoder: TextEncoder, names: Sequence[str],
                 templates: Templates = None, truncate: bool = False) -> Tensor:
        """The matrix of some labels.

        Args:
            encoder: A sentence encoder: one feature for each text.
            names: K labels.
            templates: A set of `glipkit.text.templates` by name, or templates, in which ``write``
                puts the labels. None reads them as they are.
            truncate: Whether the tokenizer cuts what is too long, with a warning, as the official
                code does, instead of refusing it.

        Returns:
            Embeddings (K, D) on the encoder's device, not normalised. Do not change them.

        Raises:
            UserError: A single string, unknown templates, a text that is too long, or a bank of
                another width.
        """
        if encoder.token_features:
            raise UserError('a text encoder with one feature for each text', type(encoder).__name__,
                            'use a sentence encoder, such as glipkit.ClipTextEncoder')
        if isinstance(names, str):
            raise UserError('a list of texts', f'the string {names!r}', f'pass [{names!r}]')
        names = tuple(names)
        found = None if templates is None else find_templates(templates)
        device = next(encoder.parameters()).device
        if not names:
            return torch.zeros(0, encoder.hidden_size, device=device)
        if encoder.training and _varies(encoder) or torch.is_grad_enabled() and any(
                p.requires_grad for p in encoder.parameters()):
            banked = self._from_bank(encoder, names, found)
            return torch.stack(self._rows_of(encoder, names, found, banked, truncate))
        with self._lock, torch.inference_mode(False), torch.no_grad():
            return self._remembered(encoder, names, found, truncate)

    def _remembered(self, encoder: TextEncoder, names: tuple[str, ...],
                    templates: tuple[str, ...] | None, truncate: bool) -> Tensor:
        device = next(encoder.parameters()).device
        weights = (id(encoder), fingerprint(encoder))
        if weights != self._weights:
            self.clear()
            self._weights = weights
        state = (templates, truncate, autocast_state(device.type))
        if self._matrix is not None and self._matrix[0] == (names, state):
            return self._matrix[1]
        rows = {name: self._rows[state, name] for name in names if (state, name) in self._rows}
        missing = [name for name in dict.fromkeys(names) if name not in rows]
        if missing:
            banked = self._from_bank(encoder, missing, templates)
            read = self._rows_of(encoder, missing, templates, banked, truncate)
            rows.update(zip(missing, read))
        for name, row in rows.items():
            self._rows[state, name] = row
            self._rows.move_to_end((state, name))
        while len(self._rows) > self.max_rows:
            self._rows.popitem(last=False)
        matrix = torch.stack([rows[name] for name in names])
        self._matrix = ((names, state), matrix)
        return matrix

    def _from_bank(self, encoder: TextEncoder, names: Sequence[str],
                   templates: tuple[str, ...] | None) -> dict[str, Tensor]:
        if templates is None or not self._bank:
            return {}
        width = len(next(iter(self._bank.values())))
        if width != encoder.hidden_size:
            raise UserError(f'a bank of {encoder.hidden_size} channels, as the model has',
                            f'{width} channels', 'make the bank with the encoder of this model')
        device = next(encoder.parameters()).device
        return {name: self._bank[name].to(device) for name in names if name in self._bank}

    def _rows_of(self, encoder: TextEncoder, names: Sequence[str],
                 templates: tuple[str, ...] | None, banked: dict[str, Tensor],
                 truncate: bool) -> list[Tensor]:
        """A row for each name: of the bank, or read by the encoder."""
        rest = [name for name in dict.fromkeys(names) if name not in banked]
        texts = [[name] if templates is None else self.write(templates, name) for name in rest]
        rows = dict(banked)
        if rest:
            normalise = self.average == 'after' and templates is not None
            read = self._encode(encoder, rest, texts, truncate, normalise)
            rows.update(zip(rest, read))
        return [rows[name] for name in names]

    def _encode(self, encoder: TextEncoder, names: list[str], texts: list[list[str]],
                truncate: bool, normalise: bool) -> Tensor:
        """Embeddings (K, D) of names, from the M sentences of each.

        A batch holds one template with many names of similar length: its texts begin alike, which
        an encoder with a causal mask can use, and need little padding.
        """
        order = sorted(range(len(names)), key=lambda i: encoder.tokenizer.count(names[i]))
        work = len(names) * len(texts[0])
        rows: list[Tensor | None] = [None] * len(names)
        step = self.texts_at_once if len(names) >= _FEW else 1
        with Bar() if work < LONG_WORK else bar('Reading texts', work, 'text') as shown:
            for start in range(0, len(order), step):
                places = order[start:start + step]
                part = _average(encoder, [texts[i] for i in places], truncate, normalise)
                for place, row in zip(places, part):
                    rows[place] = row
                shown.update(len(places) * len(texts[0]))
        return torch.stack(rows)


def _average(encoder: TextEncoder, texts: list[list[str]], truncate: bool,
             normalise: bool) -> Tensor:
    """Mean features (K, D) of the sentences of K labels."""
    if len(texts) < _FEW:
        found = torch.stack([_read(encoder, own, truncate, normalise).sum(0) for own in texts])
    else:
        found = sum(_read(encoder, list(alike), truncate, normalise) for alike in zip(*texts))
    return found / len(texts[0])


def _read(encoder: TextEncoder, texts: list[str], truncate: bool, normalise: bool) -> Tensor:
    tokens = encoder.tokenizer(texts, encoder.max_positions, truncate)
    features = encoder(tokens).hidden[:, 0].float()
    return F.normalize(features, dim=1) if normalise else features


def _varies(encoder: nn.Module) -> bool:
    """Whether training mode changes what an encoder answers."""
    return any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p
               for module in encoder.modules())
