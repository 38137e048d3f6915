"""The rule by which character spans select tokens."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from glipkit.text.structures import Span

# Characters that are tried, in order, from either end of a span (official create_positive_map).
# Blanks belong to no token: a span may begin or end with one or two of them.
_TRIES = 3


def token_map(offsets: Sequence[Span], spans: Iterable[Iterable[Span]],
              num_tokens: int) -> Tensor:
    """Marks the tokens of every entity.

    The rule is that of the official code. The first token of a span [b, e) is the one that covers
    character b, else b + 1, else b + 2; the last one covers e - 1, else e - 2, else e - 3; all
    tokens between them belong to the entity. A span with an end that finds no token is skipped,
    so a span that runs past a truncated caption marks nothing. The tokens of several spans are
    united.

    Args:
        offsets: Character range of each token of one caption, see ``TextTokens.offsets``.
        spans: Character spans of each entity.
        num_tokens: Width T of the map; tokens from index T on are left out.

    Returns:
        (K, T) bool, True where token t belongs to entity k. A row may be empty.
    """
    token_at = _token_at_character(offsets)

    def find(characters: range) -> int | None:
        return next((token_at[c] for c in characters if c in token_at), None)

    spans = list(spans)
    rows = torch.zeros(len(spans), num_tokens, dtype=torch.bool)
    for row, entity_spans in zip(rows, spans):
        for begin, end in entity_spans:
            first = find(range(begin, begin + _TRIES))
            last = find(range(end - 1, end - 1 - _TRIES, -1))
            if first is not None and last is not None:
                row[first:last + 1] = True
    return rows


def _token_at_character(offsets: Sequence[Span]) -> dict[int, int]:
    """Character -> the first token that covers it; [CLS], [SEP] and blanks have no entry."""
    token_at: dict[int, int] = {}
    for token, (begin, end) in enumerate(offsets):
        for character in range(begin, end):
            token_at.setdefault(character, token)
    return token_at
