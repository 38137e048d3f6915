"""Sentences of a caption that an encoder reads one by one."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from glipkit.text.structures import TextTokens
from glipkit.text.tokenizers.contract import Tokenizer

Reading = Callable[[Tensor, Tensor], Tensor]
"""Ids and mask (B, T) -> hidden states (B, T, C)."""


class SentenceReader:
    """Reads what stands between full stops as a caption of its own: [CLS] sentence [SEP].

    Each word piece has the features that it has in its sentence alone, a full stop those of the
    [SEP] behind it, [CLS] and the last [SEP] of the caption those of the first and last sentence.
    Equal sentences of a batch are read once.

    Args:
        tokenizer: Tokenizer of the captions, with [CLS] in front and [SEP] behind.
        remembers: Largest number of sentences whose states are kept for later batches, for an
            encoder that never changes.
    """

    def __init__(self, tokenizer: Tokenizer, remembers: int = 0) -> None:
        self._cls, self._stop, self._sep = tokenizer(['.']).ids[0].tolist()
        self._remembers = remembers
        self._states: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, tokens: TextTokens, read: Reading) -> Tensor:
        """Hidden states (B, T, C) of the captions; rows of padding are zero.

        Args:
            tokens: Captions.
            read: Reads sentences, padded to the longest.
        """
        captions = [self._split(row[mask].tolist())
                    for row, mask in zip(tokens.ids.cpu(), tokens.mask.cpu())]
        wanted = dict.fromkeys(sentence for caption in captions for sentence in caption)
        states = {sentence: self._states.get(sentence) for sentence in wanted}
        new = [sentence for sentence, known in states.items() if known is None]
        if new:
            states |= zip(new, self._read(new, tokens.ids.device, read))
        if self._remembers:
            if len(self._states) + len(new) > self._remembers:
                self._states.clear()
            self._states |= {sentence: states[sentence].clone() for sentence in new}
        width = tokens.ids.size(1)
        hidden = []
        for caption in captions:
            rows = torch.cat([states[sentence][min(place, 1):].to(tokens.ids.device)
                              for place, sentence in enumerate(caption)])
            hidden.append(F.pad(rows, (0, 0, 0, width - len(rows))))
        return torch.stack(hidden)

    def _read(self, sentences: Sequence[tuple[int, ...]], device: torch.device, read: Reading
              ) -> list[Tensor]:
        """Hidden states (length + 2, C) of each sentence, [CLS] and [SEP] included."""
        width = max(map(len, sentences)) + 2
        ids = torch.zeros(len(sentences), width, dtype=torch.long)
        for row, sentence in zip(ids, sentences):
            row[:len(sentence) + 2] = torch.tensor([self._cls, *sentence, self._sep])
        lengths = torch.tensor([len(sentence) + 2 for sentence in sentences])
        mask = torch.arange(width) < lengths[:, None]
        hidden = read(ids.to(device), mask.to(device))
        return [states[:length] for states, length in zip(hidden, lengths.tolist())]

    def _split(self, ids: list[int]) -> list[tuple[int, ...]]:
        """Sentences of '[CLS] a . b [SEP]'; a full stop before the last [SEP] ends a sentence and
        begins an empty one, so that each token has a place in exactly one of them."""
        sentences: list[list[int]] = [[]]
        for token in ids[1:-1]:
            if token == self._stop:
                sentences.append([])
            else:
                sentences[-1].append(token)
        return [tuple(sentence) for sentence in sentences]
