"""From token scores to scores of names, and from names to labels.

One map serves all methods: it is the identity where each name has one token.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from glipkit.common.devices import to_device
from glipkit.text.query import Query
from glipkit.text.structures import Prompt


def pool_to_labels(token_scores: Tensor, token_map: Tensor) -> Tensor:
    """Mean score of each label's tokens.

    Args:
        token_scores: Scores (B, R, T), probabilities for GLIP's official aggregation (MEAN).
        token_map: Map (B, K, T) or (K, T), True where a token belongs to a label.

    Returns:
        Scores (B, R, K); a label without tokens scores 0.
    """
    weights = token_map.to(token_scores.dtype)
    weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1)
    return token_scores @ weights.transpose(-1, -2)


class Pool(NamedTuple):
    """Which names are of one label, and how their scores become one.

    Attributes:
        labels: (N,), label of each name.
        combine: ``'max'`` for the best of a label's names, ``'mean'`` for their mean.
    """
    labels: tuple[int, ...]
    combine: str = 'max'

    @classmethod
    def of(cls, prompts: Iterable[Prompt], query: Query) -> Pool:
        """The pool of all names of some prompts of a query."""
        return cls(tuple(label for prompt in prompts for label in prompt.labels), query.combine)

    @property
    def columns(self) -> tuple[int, ...]:
        """The label of each column of pooled scores: every label once, in ascending order."""
        return tuple(sorted(set(self.labels)))

    @property
    def plain(self) -> bool:
        """Whether every label has one name, in the order of the labels."""
        return self.columns == self.labels


def pool_names(scores: Tensor, pool: Pool, background: bool = False) -> Tensor:
    """One score for each label out of those of its names.

    Args:
        scores: Scores or logits (..., N) of N names.
        pool: Their labels.
        background: Whether one more column follows the names, which stays as it is.

    Returns:
        (..., K), in the order of the pool's ``columns``, or (..., K + 1) with background; the
        scores themselves where the pool is plain.
    """
    if pool.plain:
        return scores
    names: dict[int, list[int]] = {label: [] for label in pool.columns}
    for i, label in enumerate(pool.labels):
        names[label].append(i)
    if background:
        names[-1] = [len(pool.labels)]
    most = max(map(len, names.values()))
    # Every label has as many places: its first name fills those that it does not need.
    places = to_device(torch.tensor([[*own, *own[:1] * (most - len(own))]
                                     for own in names.values()]), scores.device)
    found = scores[..., places]
    if pool.combine == 'max':
        return found.amax(-1)
    counts = to_device(torch.tensor([len(own) for own in names.values()]), scores.device)
    real = torch.arange(most, device=scores.device) < counts[:, None]
    return found.masked_fill(~real, 0).sum(-1) / counts


def pool_rows(scores: Tensor, pools: Sequence[Pool]) -> Tensor:
    """As `pool_names`, for a batch in which every row has names of its own.

    Args:
        scores: Scores (B, R, N) of up to N names.
        pools: Labels of the names of each row.

    Returns:
        (B, R, K), K the most labels of a row; zero behind the labels of each.
    """
    if all(pool.plain for pool in pools):
        return scores
    own = [pool_names(one[..., :len(pool.labels)], pool)
           for one, pool in zip(scores.unbind(), pools)]
    most = max(len(pool.columns) for pool in pools)
    return torch.stack([F.pad(one, (0, most - one.shape[-1])) for one in own])
