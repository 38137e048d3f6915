"""From token scores to label scores.

One map serves all methods: it is the identity where each label has one token.
"""
from __future__ import annotations

from torch import Tensor


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
