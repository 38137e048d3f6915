"""Captions and the character spans of their phrases."""
from __future__ import annotations

from typing import Any

from glipkit.data.checking.findings import Findings
from glipkit.data.checking.names import PromptSettings
from glipkit.data.formats.phrase_spans import checked_spans
from glipkit.errors import UserError
from glipkit.text.borders import cuts_word


class CaptionChecker:
    """Checks captions and spans by the rules of the readers.

    Args:
        settings: Token limits of the model.
        findings: Collection that takes the findings.
    """

    def __init__(self, settings: PromptSettings, findings: Findings) -> None:
        self.settings, self.findings = settings, findings
        self.seen = self.longest = 0
        self.first = ''
        self._limits: tuple[str, int] = ('', 0)

    def judge(self, caption: Any, where: str) -> bool:
        """Whether a record has a caption that a model can read."""
        if not isinstance(caption, str):
            self.findings.add('no_caption', where, caption)
            return False
        try:
            caption.encode('utf-8')
        except UnicodeEncodeError:  # half of a surrogate pair, which no tokenizer takes
            self.findings.add('no_caption', where, caption)
            return False
        self.seen += 1
        self.first = self.first or caption
        if not any(character.isalnum() for character in caption):
            self.findings.add('empty_caption', where, caption)
        length = self._length(caption)
        self.longest = max(self.longest, length)
        if length > self.settings.caption_tokens:
            self.findings.add('long_caption', where, f'{length} tokens in {caption!r}')
        return True

    def spans(self, caption: str, value: Any, where: str) -> list[list[int]]:
        """The spans of ``value`` that training can use.

        Args:
            caption: Caption that `judge` accepted.
            value: Value in the file: [[start, end], ...].
            where: The place, for the report.
        """
        if not isinstance(value, (list, tuple)):
            self.findings.add('bad_span', where, value)
            return []
        kept = []
        for span in value:
            try:
                usable = checked_spans(caption, [span], where)
            except UserError:
                self.findings.add('bad_span', where,
                                  f'{span!r} in a caption of {len(caption)} characters')
                continue
            if not usable:
                begin, end = span
                self.findings.add('span_without_word', where, f'{span} {caption[begin:end]!r}')
                continue
            self._look(caption, span, where)
            kept.append(list(span))
        return kept

    def _look(self, caption: str, span: list[int], where: str) -> None:
        begin, end = span
        text = f'{list(span)} {caption[begin:end]!r}'
        if any(cuts_word(caption, cut) for cut in (begin, end)):
            around = caption[max(begin - 10, 0):end + 10]
            self.findings.add('span_cuts_word', where, f'{text} in {around!r}')
        if end > self._limit(caption):
            self.findings.add('span_beyond_limit', where, text)

    def _length(self, caption: str) -> int:
        """Tokens with special ones; never less than the true number where that fits anyway."""
        # A token takes at least a byte. Most captions need not be tokenized for this.
        special = self.settings.tokenizer.special_tokens
        at_most = len(caption.encode('utf-8')) + special
        if at_most <= self.settings.caption_tokens and at_most <= self.longest:
            return at_most
        return self.settings.tokenizer.length(caption)

    def _limit(self, caption: str) -> int:
        """The first character that a cut caption has lost; its length where nothing is cut."""
        if self._limits[0] is not caption:
            budget = self.settings.caption_tokens
            limit = len(caption)
            if self._length(caption) > budget:
                # Special tokens stand for no character.
                kept = self.settings.tokenizer([caption], budget, truncate=True).offsets[0]
                limit = max(end for _, end in kept)
            self._limits = caption, limit
        return self._limits[1]
