"""Results of the text room: prompts, tokens and text features.

Letters in shapes: B captions of a batch, T token slots, C channels.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from glipkit.common.devices import to_device

Span = tuple[int, int]
"""Half-open character range [start, end) of a caption."""

CaptionPrompt = Mapping[str, Mapping[str, str]]
"""Hand-written prompts: class name -> dict with any of 'prefix', 'name' and 'suffix'."""


@dataclass(frozen=True)
class Prompt:
    """One caption and the entities to look for in it.

    Attributes:
        caption: The text that the encoder reads.
        spans: Character spans of each entity in ``caption``.
        names: The caller's exact string for each entity, which is returned with its detections.
        start: Index of the first entity in the caller's list; not 0 when a list was split.
        labels: Label of each entity, an index into the query's classes; default ``start`` and
            those that follow. Entities of one label are names of one class; labels from the number
            of classes on belong to what must not be found.
    """
    caption: str
    spans: tuple[tuple[Span, ...], ...]
    names: tuple[str, ...]
    start: int = 0
    labels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.labels is None:
            labels = tuple(range(self.start, self.start + len(self.spans)))
            object.__setattr__(self, 'labels', labels)
        elif len(self.labels) != len(self.spans):
            raise ValueError(f'{len(self.spans)} entities and {len(self.labels)} labels')

    def __len__(self) -> int:
        return len(self.spans)


@dataclass
class TextTokens:
    """Word pieces of a batch of captions, padded to the longest.

    Attributes:
        ids: (B, T) int64 vocabulary indices.
        mask: (B, T) bool, True for real tokens, which include [CLS] and [SEP].
        offsets: For each caption one half-open character range per real token; (0, 0) for
            [CLS] and [SEP], which stand for no character.
    """
    ids: Tensor
    mask: Tensor
    offsets: list[list[Span]]

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> TextTokens:
        """The same tokens with ids and mask on another device."""
        return TextTokens(to_device(self.ids, device), to_device(self.mask, device), self.offsets)


@dataclass
class TextFeatures:
    """Output of a text encoder.

    Attributes:
        hidden: (B, T, C) last hidden states; rows of padding have no meaning.
        mask: (B, T) bool, True for real tokens.
    """
    hidden: Tensor
    mask: Tensor

    @property
    def embedded(self) -> Tensor:
        """(B, T, C) hidden states with the rows of padding set to zero."""
        return self.hidden * self.mask.unsqueeze(-1).to(self.hidden.dtype)
