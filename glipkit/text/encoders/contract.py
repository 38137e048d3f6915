"""The interface of every text encoder."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import nn

from glipkit.registry import MODELS
from glipkit.text.structures import TextFeatures, TextTokens
from glipkit.text.tokenizers.contract import DEFAULT, Tokenizer, build_tokenizer


class TextEncoder(Protocol):
    """A module that turns tokens into features; detectors and strategies use only this.

    An encoder of token features (like BERT) gives one row per token; a sentence encoder (like
    CLIP's) gives one row per caption, T = 1 with a mask of True, whatever the number of tokens.

    Attributes:
        default_tokenizer: Name of the tokenizer class where a config names none.
        tokenizer: Tokenizer that cuts captions for this encoder.
        token_features: Whether there is a row per token, not one per caption.
        hidden_size: Channels C of the features.
        max_positions: Largest number of tokens of one caption, special ones included.
    """

    default_tokenizer: ClassVar[str]
    token_features: bool
    tokenizer: Tokenizer
    hidden_size: int
    max_positions: int

    def __call__(self, tokens: TextTokens) -> TextFeatures:
        """Features (B, T, C) of B captions; real rows do not depend on padding or neighbours."""

    def layer_groups(self) -> list[nn.Module]:
        """Parts from the input to the output; every parameter is in one of them."""


def encoder_tokenizer(config: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of the text encoder that a config describes, without building the encoder.

    Args:
        config: Entry ``text_encoder`` of a model's config.

    Raises:
        UserError: An unknown tokenizer.
    """
    encoder = MODELS.get(config['type'])
    return build_tokenizer(config.get('tokenizer'), getattr(encoder, 'default_tokenizer', DEFAULT))
