"""CLIP's byte pairs, with their vocabulary inside the package.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4: lower-cased byte pair encoding of 49,152 entries and two markers.
"""
from __future__ import annotations

import gzip
import logging
import re
import reprlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from mmengine.logging import print_log
from tokenizers import Regex
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split

from glipkit.errors import UserError
from glipkit.text.structures import Span, TextTokens
from glipkit.text.tokenizers.cleaning import clean
from glipkit.text.tokenizers.contract import register_tokenizer

CLIP_VOCABULARY = Path(__file__).parent / 'vocabularies' / 'bpe_simple_vocab_16e6.txt.gz'
START, END = '<|startoftext|>', '<|endoftext|>'
_MERGES = 49152 - 256 - 2
_END_OF_WORD = '</w>'
#: Name -> how a text may write the two markers itself, and whether a text that is cut ends in one.
DIALECTS = {'clip': ((START, END), False),
            'open_clip': (('<start_of_text>', '<end_of_text>'), True)}
_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
          r'|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+')


@register_tokenizer
class ClipBpeTokenizer:
    """Texts to padded byte pairs, as CLIP cuts them.

    The markers of start and end are read as such inside a text, too, as CLIP's own tokenizer does.
    A token's range of characters is that of its whole word, and (0, 0) where cleaning has moved
    the words of a text.

    Args:
        dialect: ``'clip'``, or ``'open_clip'``, which EVA-CLIP has too: it writes the markers in
            another way, and a text that is cut ends in the end marker.

    Raises:
        UserError: Another dialect.
    """

    #: The start marker before and the end marker after every text.
    special_tokens = 2

    def __init__(self, dialect: str = 'clip') -> None:
        if dialect not in DIALECTS:
            raise UserError(f'a dialect ({", ".join(DIALECTS)})', repr(dialect),
                            'choose one of these')
        self.config = dict(type=type(self).__name__)
        if dialect != 'clip':
            self.config['dialect'] = dialect
        self.dialect = dialect
        markers, self.keep_end = DIALECTS[dialect]
        self._letters, self._vocabulary, self._pairs = _model()
        self.vocab_size = len(self._vocabulary)
        self.start_id, self.end_id, self.pad_id = self.vocab_size - 2, self.vocab_size - 1, 0
        self._words: dict[str, list[int]] = dict(
            zip(markers, ([self.start_id], [self.end_id])))
        self._names = list(self._vocabulary)
        self._split_words = Split(Regex('|'.join([*map(re.escape, markers), _WORDS])), 'removed',
                                  invert=True)
        self._warned: set[int] = set()

    def __reduce__(self):
        return type(self), (self.dialect, )  # a copy in another process reads the vocabulary itself

    def __call__(self, captions: Sequence[str], max_tokens: int | None = None,
                 truncate: bool = False) -> TextTokens:
        """Tokenizes a batch of texts.

        Args:
            captions: B texts; an empty one becomes the two markers.
            max_tokens: Largest number of tokens of one text, both markers included; None for any.
            truncate: Whether to cut longer texts instead of refusing them, with one warning per
                distinct text. Where the end marker is cut off as well, the encoder reads the start
                marker, and the feature is the same for all of them.

        Returns:
            Tokens padded with 0 to the longest text.

        Raises:
            UserError: Not a list of strings, or a text that is too long.
        """
        if isinstance(captions, str) or not captions:
            raise UserError('a list with at least one caption', repr(captions),
                            'pass [caption] for a single one')
        if max_tokens is not None and max_tokens < self.special_tokens:
            raise UserError(f'max_tokens of at least {self.special_tokens}, for the two markers',
                            str(max_tokens), 'raise max_tokens')
        rows = [self._encode_one(caption, max_tokens, truncate) for caption in captions]
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([row + [self.pad_id] * (longest - len(row)) for row, _ in rows])
        lengths = torch.tensor([len(row) for row, _ in rows])
        return TextTokens(ids, torch.arange(longest) < lengths[:, None],
                          [offsets for _, offsets in rows])

    def encode(self, text: str) -> list[int]:
        """Ids of a text without the markers around it."""
        return [token for word, _ in self._split(text) for token in self._ids(word)]

    def count(self, text: str) -> int:
        """Number of tokens of ``text`` without the markers around it."""
        return len(self.encode(text))

    def length(self, text: str) -> int:
        """Number of tokens of a whole text, both markers included."""
        return self.count(text) + self.special_tokens

    def pieces(self, text: str) -> list[str]:
        """Tokens of ``text`` as the vocabulary writes them, without the markers around it."""
        return [self._names[token] for token in self.encode(text)]

    def _encode_one(self, text: str, max_tokens: int | None,
                    truncate: bool) -> tuple[list[int], list[Span]]:
        ids, offsets = [self.start_id], [(0, 0)]
        for word, span in self._split(text):
            found = self._ids(word)
            ids += found
            offsets += [span] * len(found)
        ids, offsets = [*ids, self.end_id], [*offsets, (0, 0)]
        if max_tokens is not None and len(ids) > max_tokens:
            self._complain_of_length(text, len(ids), max_tokens, truncate)
            ids, offsets = ids[:max_tokens], offsets[:max_tokens]
            if self.keep_end:
                ids[-1], offsets[-1] = self.end_id, (0, 0)
        return ids, offsets

    def _split(self, text: str) -> list[tuple[str, Span]]:
        if not isinstance(text, str):
            raise UserError('text', f'{type(text).__name__} {text!r}', 'pass a string')
        plain = clean(text).lower()
        try:
            words = self._split_words.pre_tokenize_str(plain)
        except (UnicodeEncodeError, TypeError) as error:  # half of a surrogate pair
            raise UserError('text that can be written as UTF-8', repr(text),
                            'decode the source with its right encoding') from error
        if plain != text.lower() or len(plain) != len(text):
            return [(word, (0, 0)) for word, _ in words]
        return words

    def _ids(self, word: str) -> list[int]:
        if word not in self._words:
            letters = ''.join(self._letters[byte] for byte in word.encode('utf-8'))
            self._words[word] = [token.id for token in self._pairs.tokenize(letters)]
        return self._words[word]

    def _complain_of_length(self, text: str, length: int, max_tokens: int,
                            truncate: bool) -> None:
        got = f'{length} tokens in {reprlib.repr(text)}'
        if not truncate:
            raise UserError(f'at most {max_tokens} tokens per text', got, 'shorten the text')
        if hash(text) not in self._warned:
            self._warned.add(hash(text))
            end = '' if self.keep_end else ', without its end marker'
            print_log(f'Text cut to {max_tokens} tokens{end}: {got}', 'current', logging.WARNING)


def _printable_bytes() -> tuple[list[str], list[str]]:
    """For each byte a printable character that stands for it; the same in the vocabulary's order.

    Bytes that print in Latin-1 stand for themselves; the others follow from U+0100 on.
    """
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in printing)
    found = {byte: chr(byte) for byte in printing}
    found.update({byte: chr(256 + i) for i, byte in enumerate(others)})
    return [found[byte] for byte in range(256)], [found[b] for b in found]


@cache
def _model() -> tuple[list[str], dict[str, int], BPE]:
    """Letters by byte, ids by token, and the model of the pairs."""
    letters, order = _printable_bytes()
    with gzip.open(CLIP_VOCABULARY, 'rt', encoding='utf-8') as file:
        lines = file.read().split('\n')[1:_MERGES + 1]  # the first line is a header
    merges = [tuple(line.split()) for line in lines]
    tokens = [*order, *(letter + _END_OF_WORD for letter in order), *map(''.join, merges),
              START, END]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    pairs = BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=_END_OF_WORD,
                continuing_subword_prefix='')
    return letters, vocabulary, pairs
