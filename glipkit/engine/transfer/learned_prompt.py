"""A text encoder with stored features for the prompts of a task, and for nothing else.

P prompts, T_p tokens of prompt p, C channels, R rows of the table.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.text.encoders.contract import TextEncoder
from glipkit.text.structures import TextFeatures, TextTokens


class LearnedPrompt(nn.Module):
    """Token features of fixed prompts, plus a learned row for each of their tokens.

    The official language_prompt_v2: a table, zero in the beginning, whose row j is added to token
    j of what the text encoder gave, right before the fused tower; the encoder itself is gone
    (GLIP appendix C.2). The rows of further prompts follow those of the first.

    Args:
        ids: Word pieces of each prompt, [CLS] and [SEP] included.
        hidden: Features (T_p, C) of each prompt.
        rows: Number of rows R; the official table has 1000.
        encoder: Text encoder that it replaces, whose tokenizer and limits it keeps.
    """

    def __init__(self, ids: Sequence[Sequence[int]], hidden: Sequence[Tensor], rows: int,
                 encoder: TextEncoder) -> None:
        super().__init__()
        self.tokenizer, self.max_positions = encoder.tokenizer, encoder.max_positions
        self.token_features, self.hidden_size = encoder.token_features, hidden[0].shape[1]
        self.lengths = [len(features) for features in hidden]
        self._index = {tuple(piece): i for i, piece in enumerate(ids)}
        self.register_buffer('hidden', torch.cat(list(hidden)))
        self.offset = nn.Parameter(self.hidden.new_zeros(max(rows, sum(self.lengths)),
                                                         self.hidden_size))

    def features(self) -> list[Tensor]:
        """Features (T_p, C) of each prompt with the learned rows added."""
        return list((self.hidden + self.offset[:len(self.hidden)]).split(self.lengths))

    def forward(self, tokens: TextTokens) -> TextFeatures:
        """Features (B, T, C) of B captions, each one of the prompts; rows of padding are zero.

        Raises:
            UserError: A caption that is not one of the prompts.
        """
        features = self.features()
        mask = tokens.mask.to(self.offset.device)
        if not self.token_features:
            mask = mask[:, :1]
        rows = []
        for ids, real in zip(tokens.ids.cpu(), tokens.mask.cpu()):
            found = self._index.get(tuple(ids[real].tolist()))
            if found is None:
                raise UserError('one of the prompts that this task was tuned with',
                                'another prompt',
                                'leave the classes out, or ask them without the task')
            missing = mask.shape[1] - self.lengths[found]
            rows.append(nn.functional.pad(features[found], (0, 0, 0, missing)))
        return TextFeatures(torch.stack(rows), mask)

    def layer_groups(self) -> list[nn.Module]:
        """This module, as the only part."""
        return [self]
