"""A text encoder that knows some captions by heart and reads all others as it always did.

P captions known, T_p tokens of caption p, C channels, B captions of a batch.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.text.encoders.contract import TextEncoder
from glipkit.text.structures import TextFeatures, TextTokens


class LearnedWords(nn.Module):
    """An encoder of token features, with given features for some captions.

    Args:
        encoder: The encoder of all other captions, which is not changed.
        ids: Word pieces of each known caption, [CLS] and [SEP] included.
        rows: Features (T_p, C) of each.
    """

    token_features = True

    def __init__(self, encoder: TextEncoder, ids: Sequence[Sequence[int]],
                 rows: Sequence[Tensor]) -> None:
        super().__init__()
        self.encoder, self.tokenizer = encoder, encoder.tokenizer
        self.max_positions, self.hidden_size = encoder.max_positions, encoder.hidden_size
        self._index = {tuple(piece): i for i, piece in enumerate(ids)}
        self._lengths = [len(one) for one in rows]
        self.register_buffer('rows', torch.cat([one.detach() for one in rows]))
        self.training = encoder.training

    def forward(self, tokens: TextTokens) -> TextFeatures:
        """Features (B, T, C); those of padding have no meaning."""
        known = [self._index.get(tuple(ids[real].tolist()))
                 for ids, real in zip(tokens.ids.cpu(), tokens.mask.cpu())]
        others = [i for i, found in enumerate(known) if found is None]
        hidden = self.rows.new_zeros(*tokens.ids.shape, self.hidden_size)
        if others:
            part = TextTokens(tokens.ids[others], tokens.mask[others],
                              [tokens.offsets[i] for i in others])
            read = self.encoder(part).hidden
            hidden = hidden.to(read.dtype)
            hidden[others] = read
        parts = self.rows.split(self._lengths)
        for i, found in enumerate(known):
            if found is not None:
                hidden[i] = F.pad(parts[found], (0, 0, 0, len(hidden[i]) - len(parts[found])))
        return TextFeatures(hidden, tokens.mask.to(hidden.device))

    def layer_groups(self) -> list[nn.Module]:
        """Those of the encoder; what is known by heart does not train here."""
        return self.encoder.layer_groups()
