"""Scores of two sources as one: of a class and a box, or of two classifiers."""
from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from glipkit.errors import UserError

Fusion = Literal['none', 'raw', 'sigmoid']
"""How the score of a box enters: not, or in a geometric mean as a logit or a probability."""
FUSIONS: tuple[str, ...] = get_args(Fusion)


def fuse_scores(probabilities: Tensor, logits: Tensor, how: Fusion) -> tuple[Tensor, Tensor]:
    """Geometric mean of class probability and box score.

    ``'raw'`` is what the official RegionCLIP code does (``MULTIPLY_RPN_SCORE``): the score of a box
    is its logit, not its probability. So a box with a negative logit, less likely than not,
    is removed (the root of a negative number, which a filter of finite rows drops), and a score may
    exceed 1. ``'sigmoid'`` takes the probability: nothing is removed, and scores end at 1.

    Args:
        probabilities: (N, K) of each class.
        logits: (N,) of each box, before the sigmoid.
        how: See above; ``'none'`` leaves the probabilities as they are.

    Returns:
        Scores (N, K), 0 for a box that is removed; and which boxes stay, (N,) bool.

    Raises:
        UserError: Another ``how``.
    """
    check_fusion(how)
    if how == 'sigmoid':
        logits = logits.sigmoid()
    stays = logits >= 0 if how == 'raw' else logits == logits
    if how == 'none':
        return probabilities, stays
    return (probabilities * logits.clamp(min=0)[:, None]).sqrt(), stays


def check_fusion(how: str) -> None:
    """Refuses an unknown way to fuse.

    Raises:
        UserError: Not one of ``FUSIONS``.
    """
    if how not in FUSIONS:
        raise UserError(f'a fusion of scores ({", ".join(FUSIONS)})', repr(how),
                        'choose one of these')


def blend_scores(detector: Tensor, model: Tensor, trained: Tensor, alpha: float,
                 beta: float) -> Tensor:
    """Weighted geometric mean of what a detector and an image-text model say of regions.

    ``detector^(1 - w) * model^w``, where w is alpha for classes that the detector was trained on
    and beta for others (Gu et al., "Open-vocabulary Object Detection via Vision and Language
    Knowledge Distillation", ICLR 2022, equation 6). Rows do not sum to 1.

    Args:
        detector: Probabilities (N, K).
        model: Probabilities (N, K).
        trained: (K,) bool.
        alpha: Weight of the model, from 0 to 1.
        beta: The same for classes that were not trained.

    Returns:
        Scores (N, K).
    """
    weights = torch.where(trained, alpha, beta).to(detector)
    return detector**(1 - weights) * model**weights
