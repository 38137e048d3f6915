"""CLIP's text transformer: a text becomes one vector in the space of the image embeddings.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4: pre-norm layers under a causal mask, read at the end of the text. Parameter names are
the official ones. Letters in shapes: B texts, T tokens, C channels, h heads, D channels of the
result.
"""
from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.registry import MODELS
from glipkit.text.encoders.clip_layers import ACTIVATIONS, ClipLayer
from glipkit.text.structures import TextFeatures, TextTokens
from glipkit.text.tokenizers import build_tokenizer


@MODELS.register_module()
class ClipTextEncoder(BaseModule):
    """CLIP's text encoder; one un-normalised vector for each text. The defaults are RN50's.

    Args:
        width: Channels C inside.
        heads: Attention heads.
        layers: Transformer layers.
        context: Largest number of tokens of a text.
        vocab_size: Rows of the word embedding.
        embed_dim: Channels D of the result.
        activation: ``'quick_gelu'`` for OpenAI's weights, ``'gelu'`` for most others.
        tokenizer: Config of the tokenizer; None takes CLIP's byte pairs.
        init_cfg: mmengine's config of initial weights.

    Attributes:
        tokenizer: The tokenizer.
    """

    #: Class of the tokenizer where a config names none.
    default_tokenizer = 'ClipBpeTokenizer'
    token_features = False

    def __init__(self, width: int = 512, heads: int = 8, layers: int = 12, context: int = 77,
                 vocab_size: int = 49408, embed_dim: int = 1024, activation: str = 'quick_gelu',
                 tokenizer: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if width % heads:
            raise UserError('a width that the heads divide', f'width {width}, {heads} heads',
                            'change one of them')
        if activation not in ACTIVATIONS:
            raise UserError(f'an activation ({", ".join(ACTIVATIONS)})', repr(activation),
                            'choose one of these')
        self.tokenizer = build_tokenizer(tokenizer, self.default_tokenizer)
        self.width, self.vocab_size, self.activation = width, vocab_size, activation
        self.hidden_size, self.max_positions = embed_dim, context
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(context, width))
        self.transformer = nn.ModuleDict({'resblocks': nn.ModuleList(
            ClipLayer(width, heads, ACTIVATIONS[activation]) for _ in range(layers))})
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, embed_dim))
        self._start()

    def _start(self) -> None:
        """Initial values of CLIP: deviations fall with width and depth."""
        layers = self.transformer['resblocks']
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=self.width**-0.5)
        inner = self.width**-0.5 * (2 * max(1, len(layers)))**-0.5
        for layer in layers:
            nn.init.normal_(layer.attn.out_proj.weight, std=inner)
            nn.init.zeros_(layer.attn.out_proj.bias)
            nn.init.normal_(layer.mlp['c_fc'].weight, std=(2 * self.width)**-0.5)
            nn.init.normal_(layer.mlp['c_proj'].weight, std=inner)

    def forward(self, tokens: TextTokens) -> TextFeatures:
        """Encodes texts; ids are moved to the device of the weights.

        The vector is read at the largest id, which is the end of the text. No token sees those
        behind it. So nothing behind the last such place is computed, and tokens that all texts
        begin with, as sentences of one template do, are computed once.

        Args:
            tokens: B texts of T token slots, with padding at the right.

        Returns:
            Features (B, 1, D), not normalised, with a mask of True.

        Raises:
            UserError: More tokens than the encoder has positions.
        """
        if tokens.ids.shape[1] > self.max_positions:
            raise UserError(f'at most {self.max_positions} tokens per text',
                            f'{tokens.ids.shape[1]} tokens', 'shorten the text')
        tokens = tokens.to(self.token_embedding.weight.device)
        places = read_places(tokens)
        length = int(places.max()) + 1
        ids = tokens.ids[:, :length]
        shared = 0
        if len(ids) > 1:
            alike = (ids == ids[:1]).all(0).long().cumprod(0)
            shared = min(int(alike.sum()), int(places.min()))
        hidden = self.encode(ids, shared)
        found = hidden[torch.arange(len(hidden), device=hidden.device), places - shared]
        features = self.project(found)[:, None]
        return TextFeatures(features, features.new_ones(features.shape[:2], dtype=torch.bool))

    def encode(self, ids: Tensor, shared: int = 0) -> Tensor:
        """States after the last layer, before the last norm.

        Args:
            ids: Ids (B, T).
            shared: How many first tokens all texts have in common, to be computed once.

        Returns:
            States (B, T - shared, C).
        """
        places = self.positional_embedding[:ids.shape[1]]
        hidden = self.token_embedding(ids[:, shared:]) + places[shared:]
        first = self.token_embedding(ids[:1, :shared]) + places[:shared]
        for layer in self.transformer['resblocks']:
            kept = None
            if shared:
                first, kept = layer(first)
            hidden, _ = layer(hidden, kept)
        return hidden

    def project(self, hidden: Tensor) -> Tensor:
        """States (..., C) -> features (..., D)."""
        return self.ln_final(hidden) @ self.text_projection.to(hidden.dtype)

    def layer_groups(self) -> list[nn.Module]:
        """Parts from the input to the output, for layer-wise rates and freezing."""
        first = nn.Module()
        first.token_embedding = self.token_embedding
        first.positional_embedding = self.positional_embedding
        last = nn.Module()
        last.ln_final, last.text_projection = self.ln_final, self.text_projection
        return [first, *self.transformer['resblocks'], last]


def read_places(tokens: TextTokens) -> Tensor:
    """Where each text is read: the first of its largest ids, (B,).

    That is the end of the text. A text that was cut before its end is read at its start token.
    """
    return tokens.ids.masked_fill(~tokens.mask, -1).argmax(1)
