"""Features of words that are read alone."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glipkit.text.encoders.contract import TextEncoder


def word_features(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """Mean features (N, C) of the tokens of each text, without [CLS] and [SEP].

    Args:
        encoder: An encoder of token features.
        texts: N texts, each read as a caption of its own.
    """
    features = encoder(encoder.tokenizer(list(texts)))
    words = features.mask.clone()
    words[:, 0] = False
    words[torch.arange(len(words)), features.mask.sum(1) - 1] = False
    weights = words.to(features.hidden) / words.sum(1, keepdim=True).clamp(min=1)
    return (weights[:, None] @ features.hidden)[:, 0]
