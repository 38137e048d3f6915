"""BERT's word pieces, with the uncased vocabulary inside the package."""
from __future__ import annotations

import logging
import reprlib
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.logging import print_log
from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from torch import Tensor

from glipkit.errors import UserError
from glipkit.text.structures import Span, TextTokens
from glipkit.text.tokenizers.contract import register_tokenizer

UNCASED_VOCABULARY = Path(__file__).parent / 'vocabularies' / 'bert-base-uncased.txt'
_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]')
_UNKNOWN_WARNINGS = 100  # distinct words; a corpus in another script would flood the log


@register_tokenizer
class BertTokenizer:
    """Captions to padded word pieces, as BERT cuts them.

    Unlike Hugging Face's tokenizer it reads '[SEP]' or '[MASK]' inside a caption as plain text:
    a class name must not end a sentence.

    Args:
        vocab_file: Text file with one token per line; None takes BERT's uncased vocabulary.
        lowercase: Whether to lower-case and to strip accents. Offsets always count the
            characters of the caption as given.

    Raises:
        UserError: The vocabulary file is missing or lacks a special token.
    """

    #: [CLS] before and [SEP] after every caption.
    special_tokens = 2

    def __init__(self, vocab_file: str | Path | None = None, lowercase: bool = True) -> None:
        self.config = dict(type=type(self).__name__, lowercase=lowercase,
                           vocab_file=None if vocab_file is None else str(vocab_file))
        vocab = _read_vocabulary(Path(vocab_file or UNCASED_VOCABULARY))
        self.vocab_size = len(vocab)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id = (vocab[t] for t in _SPECIAL)
        self._tokenizer = Tokenizer(WordPiece(vocab, unk_token='[UNK]'))
        self._tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
        self._tokenizer.pre_tokenizer = BertPreTokenizer()
        self._warned_truncated: set[int] = set()
        self._warned_unknown: set[str] = set()

    def __call__(self, captions: Sequence[str], max_tokens: int | None = None,
                 truncate: bool = False) -> TextTokens:
        """Tokenizes a batch of captions.

        Args:
            captions: B captions; an empty one becomes [CLS] [SEP].
            max_tokens: Largest number of tokens of one caption, [CLS] and [SEP] included; None
                for any.
            truncate: Whether to cut longer captions, with [SEP] as last token and one warning per
                distinct caption, instead of refusing them.

        Returns:
            Tokens padded to the longest caption.

        Raises:
            UserError: Not a list of strings, or a caption that is too long.
        """
        if isinstance(captions, str) or not captions:
            raise UserError('a list with at least one caption', repr(captions),
                            'pass [caption] for a single one')
        if max_tokens is not None and max_tokens < self.special_tokens:
            raise UserError(f'max_tokens of at least {self.special_tokens}, for [CLS] and [SEP]',
                            str(max_tokens),
                            'raise max_tokens')
        rows = [self._encode_one(caption, max_tokens, truncate) for caption in captions]
        ids, mask = _pad([ids for ids, _ in rows], self.pad_id)
        return TextTokens(ids, mask, [offsets for _, offsets in rows])

    def count(self, text: str) -> int:
        """Number of word pieces of ``text``, without [CLS] and [SEP]."""
        return len(self._split(text).ids)

    def length(self, text: str) -> int:
        """Number of tokens of a whole caption, [CLS] and [SEP] included."""
        return self.count(text) + self.special_tokens

    def pieces(self, text: str) -> list[str]:
        """Word pieces of ``text`` as the vocabulary writes them, without [CLS] and [SEP]."""
        return self._split(text).tokens

    def _encode_one(self, caption: str, max_tokens: int | None,
                    truncate: bool) -> tuple[list[int], list[Span]]:
        pieces = self._split(caption)
        ids, offsets = pieces.ids, pieces.offsets
        length = len(ids) + self.special_tokens
        if max_tokens is not None and length > max_tokens:
            self._complain_of_length(caption, length, max_tokens, truncate)
            kept = max_tokens - self.special_tokens
            ids, offsets = ids[:kept], offsets[:kept]
        self._warn_of_unknown(caption, ids, offsets)
        return [self.cls_id, *ids, self.sep_id], [(0, 0), *offsets, (0, 0)]

    def _split(self, text: str) -> Encoding:
        if not isinstance(text, str):
            raise UserError('text', f'{type(text).__name__} {text!r}', 'pass a string')
        try:
            return self._tokenizer.encode(text, add_special_tokens=False)
        except (UnicodeEncodeError, TypeError) as error:  # half of a surrogate pair
            raise UserError('text that can be written as UTF-8', repr(text),
                            'decode the source with its right encoding') from error

    def _complain_of_length(self, caption: str, length: int, max_tokens: int,
                            truncate: bool) -> None:
        got = f'{length} tokens in {reprlib.repr(caption)}'
        if not truncate:
            raise UserError(f'at most {max_tokens} tokens per caption', got,
                            'shorten the caption, or split the class list')
        if hash(caption) not in self._warned_truncated:
            self._warned_truncated.add(hash(caption))
            print_log(f'Caption cut to {max_tokens} tokens: {got}', 'current', logging.WARNING)

    def _warn_of_unknown(self, caption: str, ids: list[int], offsets: list[Span]) -> None:
        if self.unk_id not in ids:
            return
        for token, (begin, end) in zip(ids, offsets):
            word = caption[begin:end]
            if (token == self.unk_id and word not in self._warned_unknown
                    and len(self._warned_unknown) < _UNKNOWN_WARNINGS):
                self._warned_unknown.add(word)
                print_log(f'{word!r} is not in the vocabulary and is read as [UNK]; the model '
                          'cannot tell it from other unknown words', 'current', logging.WARNING)


def _read_vocabulary(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise UserError('a vocabulary file with one token per line', f'no file {path}',
                        'give the path of an existing vocab.txt, or None for the built-in one')
    tokens = path.read_text(encoding='utf-8').rstrip('\n').split('\n')
    missing = [token for token in _SPECIAL if token not in tokens]
    if missing:
        raise UserError(f'a vocabulary with {", ".join(_SPECIAL)}',
                        f'{path} without {", ".join(missing)}', 'use a BERT vocabulary file')
    return {token: index for index, token in enumerate(tokens)}


def _pad(rows: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    ids = torch.full((len(rows), max(map(len, rows))), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        mask[i, :len(row)] = True
    return ids, mask
