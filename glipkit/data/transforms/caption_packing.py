"""Captions of other images as negatives beside an image's own."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from glipkit.errors import UserError
from glipkit.text.tokenizers import build_tokenizer


class CaptionPacker:
    """Joins a caption with those of randomly drawn other images, in random order.

    GLIP paper appendix C.1 and the official random packing (microsoft/GLIP:
    maskrcnn_benchmark/data/datasets/caption.py): with probability ``none_prob`` no other caption
    is drawn; otherwise, with ``full_prob``, ``num_captions`` are; otherwise a uniform number below
    that. A drawn caption is kept where it fits what is left of ``max_tokens``. Captions are
    closed by a full stop where they have none and joined by a blank; spans move with theirs. The
    full stops count here, so that a packed prompt is never cut off.

    Args:
        num_captions: Largest number of captions that are added.
        none_prob: Probability of adding none.
        full_prob: Probability, otherwise, of drawing all ``num_captions``.
        max_tokens: Budget of the whole prompt, special tokens included.
        tokenizer: Config of the text encoder's tokenizer, where it is not the default one. A run
            hands over the encoder's own.

    Raises:
        UserError: A number of captions below 1, or a probability outside 0 to 1.
    """

    def __init__(self,
                 num_captions: int = 20,
                 none_prob: float = 0.4,
                 full_prob: float = 0.5,
                 max_tokens: int = 256,
                 tokenizer: dict[str, Any] | None = None) -> None:
        if type(num_captions) is not int or num_captions < 1 or not (
                0 <= none_prob <= 1 and 0 <= full_prob <= 1):
            raise UserError('packing with num_captions from 1 and probabilities from 0 to 1',
                            f'{num_captions}, {none_prob} and {full_prob}',
                            'correct them, or leave packing out')
        self.num_captions, self.none_prob, self.full_prob = num_captions, none_prob, full_prob
        self.max_tokens = max_tokens
        self.tokenizer = build_tokenizer(tokenizer)

    def __call__(self, caption: str, phrases: list, draw: Callable[[], str | None],
                 rng: Any = np.random) -> tuple[str, list]:
        """Packs one caption.

        Args:
            caption: Caption of the image.
            phrases: Half-open character spans of each phrase in the caption.
            draw: Function that gives the caption of a random sample, or None where it has none.
            rng: Random generator: ``np.random`` or a ``RandomState``.

        Returns:
            The packed caption, and the phrases with their spans in it.
        """
        own = _closed(caption)
        left = self.max_tokens - self.tokenizer.length(own)
        kept = [own]
        for _ in range(self._draws(rng)):
            other = draw()
            if other is None or not other.strip() or other == caption:
                continue
            length = self.tokenizer.count(_closed(other))
            if length <= left:
                kept.append(_closed(other))
                left -= length
        order = rng.permutation(len(kept)).tolist()
        before = order[:order.index(0)]
        start = sum(len(kept[i]) + 1 for i in before)
        moved = [[(begin + start, end + start) for begin, end in spans] for spans in phrases]
        return ' '.join(kept[i] for i in order), moved

    @property
    def prompt_budget(self) -> int:
        """Largest number of tokens of a packed prompt, special ones included."""
        return self.max_tokens

    def _draws(self, rng: Any) -> int:
        """How many captions are drawn."""
        if rng.uniform() < self.none_prob:
            return 0
        if rng.uniform() < self.full_prob:
            return self.num_captions
        return int(rng.randint(self.num_captions))


def _closed(caption: str) -> str:
    """A caption with a full stop. Nothing is trimmed: spans may reach into blanks."""
    return caption if caption.rstrip().endswith('.') else caption + '.'
