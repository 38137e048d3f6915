"""Word-region alignment scores (GLIP section 3.1, equation (3), as in the official code)."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenAlignment(nn.Module):
    """Dot products of regions and projected tokens, plus a bias of each token.

    Args:
        region_dim: Width D of the region features.
        text_dim: Width C of the token features.
        prior_prob: Initial foreground probability, which sets ``bias0``.
        log_scale: Initial log temperature.
        max_logit: Bound: logits are clamped to +- this value, a guard for half precision.
    """

    def __init__(self,
                 region_dim: int,
                 text_dim: int,
                 prior_prob: float = 0.01,
                 log_scale: float = 0.0,
                 max_logit: float = 50000.) -> None:
        super().__init__()
        self.max_logit = max_logit
        self.text_projection = nn.Linear(text_dim, region_dim)
        self.bias_lang = nn.Parameter(torch.zeros(text_dim))
        self.bias0 = nn.Parameter(torch.tensor([-math.log((1 - prior_prob) / prior_prob)]))
        self.log_scale = nn.Parameter(torch.tensor([float(log_scale)]))

    def low_rank_layers(self) -> list[nn.Linear]:
        """The projection of the tokens."""
        return [self.text_projection]

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Token features (B, T, C) -> classifier weights (B, D, T) and biases (B, 1, T)."""
        tokens = F.normalize(tokens, dim=-1)
        weights = self.text_projection(tokens / 2) / self.log_scale.exp()
        bias = tokens @ self.bias_lang + self.bias0
        return weights.transpose(1, 2), bias[:, None]

    def forward(self, regions: Tensor, classifier: tuple[Tensor, Tensor]) -> Tensor:
        """Region features (B, R, D) and encoded text -> token logits (B, R, T)."""
        weights, bias = classifier
        logits = torch.baddbmm(bias.to(weights.dtype), regions.to(weights.dtype), weights)
        return logits.clamp(-self.max_logit, self.max_logit)


class MeaningAlignment(nn.Module):
    """Cosines of what a cell means and of a token, times learned scales.

    Both come from the same text encoder, so nothing has to be learned about a word before it can
    be found; see :class:`glipkit.models.backbones.semantic.SemanticBackbone`.

    Args:
        learned: Scale of the meaning that was trained, from which its own training starts.
        original: Scale of the meaning that never was. It is fixed: training on words that the other
            knows better could only lower it, and it is there for words that are in no training.
    """

    def __init__(self, learned: float = 5., original: float = 6.) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(learned)))
        self.original = original

    def forward(self, meanings: Tensor, tokens: Tensor) -> Tensor:
        """Addends of the logits (B, R, T).

        Args:
            meanings: Unit vectors of each cell, the learned and the original one, (B, R, 2 * C).
            tokens: Token features (B, T, C).
        """
        return self.mixed(meanings) @ F.normalize(tokens, dim=-1).transpose(1, 2)

    def mixed(self, meanings: Tensor) -> Tensor:
        """Both meanings (B, R, 2 * C) as one, (B, R, C), whose dot products are the addends."""
        learned, original = meanings.chunk(2, dim=-1)
        return self.log_scale.exp() * learned + self.original * original
