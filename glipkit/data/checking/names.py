"""Class names: what the model will read for each, and which it cannot tell apart."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glipkit.data.checking.findings import Findings
from glipkit.errors import UserError
from glipkit.text.prompts import class_prompt, clean_name, split_class_prompt
from glipkit.text.tokenizers import Tokenizer, build_tokenizer


@dataclass
class ClassRow:
    """One class.

    Args:
        category_id: Id in the file.
        name: Name in the file; any JSON value in a damaged one.
        label: Index in training; None where it cannot be trained.
        words: Name in the form of a prompt; also a key of the JSON report.
        tokens: Word pieces of that form.
        boxes: Number of boxes that training can use.
    """
    category_id: Any
    name: Any
    label: int | None = None
    words: str = ''
    tokens: tuple[str, ...] = ()
    boxes: int = 0


@dataclass(frozen=True)
class PromptSettings:
    """How a model asks for classes.

    Args:
        max_tokens: Tokens of one prompt in a test, [CLS] and [SEP] included.
        caption_tokens: Tokens of one caption in training, likewise.
        training_tokens: Tokens of the whole class list, where training does not sample from it;
            None where it does.
        tokenizer: The text encoder's.
        joined: Whether classes are asked together in one prompt; a sentence encoder reads each by
            itself.
    """
    max_tokens: int = 256
    caption_tokens: int = 256
    training_tokens: int | None = None
    tokenizer: Tokenizer = field(default_factory=build_tokenizer)
    joined: bool = True


class ClassTable:
    """The classes of a file, in the order of their labels.

    Args:
        names: Category id -> name, in the order of labels.
        settings: Token limits of the model.
        findings: Collection that takes the findings.
        merged: Category id -> the id that stands for it, for a cleaned copy.
    """

    def __init__(self, names: Mapping[Any, Any], settings: PromptSettings, findings: Findings,
                 merged: Mapping[Any, Any] | None = None) -> None:
        self.settings, self.findings = settings, findings
        self.merged = dict(merged or {})
        self.rows = {key: ClassRow(key, name) for key, name in names.items()
                     if key not in self.merged}

    def check(self, where: str, homonyms_are_usual: bool = False) -> None:
        """Judges all names.

        Args:
            where: Name of the file or of its list.
            homonyms_are_usual: Whether names that differ in parentheses only are no error, for
                protocols that have them (LVIS).
        """
        if not self.rows:
            self.findings.add('no_class', where)
        for row in self.rows.values():
            self._spell(row, where)
        usable = [row for row in self.rows.values() if row.tokens]
        self._compare(usable, homonyms_are_usual)
        for label, row in enumerate(usable):
            row.label = label
        self._measure(usable, where)

    def usable(self, key: Any) -> bool:
        """Whether boxes of a category id can be trained."""
        row = self.rows.get(self.merged.get(key, key))
        return row is not None and bool(row.tokens)

    def count(self, key: Any) -> None:
        """Counts a usable box of a category id."""
        self.rows[self.merged.get(key, key)].boxes += 1

    def finish(self) -> None:
        """Reports classes that no box belongs to, once there are boxes at all."""
        if any(row.boxes for row in self.rows.values()):
            for row in self.rows.values():
                if row.tokens and not row.boxes:
                    self.findings.add('class_without_box', f'class {row.category_id}', row.name)

    def prompts(self) -> list[str]:
        """The captions that a test asks with, exactly."""
        # Duplicates cannot stand in one list; they are reported, and the rest can be shown.
        names = list(dict.fromkeys(row.name for row in self.rows.values() if row.tokens))
        if not names or not self.settings.joined:
            return [clean_name(name) for name in names]
        tokenizer, budget = self.settings.tokenizer, self.settings.max_tokens
        try:
            return [p.caption for p in split_class_prompt(names, tokenizer, budget)]
        except UserError:  # one class alone exceeds the budget; reported in _measure
            return [class_prompt(names).caption]

    def duplicates(self) -> dict[Any, Any]:
        """Category id -> the first id of the same words, for a cleaned copy."""
        first: dict[tuple, Any] = {}
        merged = {}
        for row in self.rows.values():
            if row.tokens:
                kept = first.setdefault((_alike(row.name), row.tokens), row.category_id)
                if kept != row.category_id:
                    merged[row.category_id] = kept
        return merged

    def _spell(self, row: ClassRow, where: str) -> None:
        place = f'class {row.category_id}'
        if not isinstance(row.name, str):
            self.findings.add('bad_name', place, row.name)
            return
        row.words = clean_name(row.name)
        tokenizer = self.settings.tokenizer
        try:
            class_prompt([row.name])
            row.tokens = tuple(tokenizer.pieces(row.words))
        except UserError:
            self.findings.add('no_token', place, row.name)
            return
        if '[UNK]' in row.tokens:
            self.findings.add('unknown_word', place, row.name)

    def _compare(self, rows: list[ClassRow], homonyms_are_usual: bool) -> None:
        by_tokens: dict[tuple, list[ClassRow]] = defaultdict(list)
        for row in rows:
            by_tokens[row.tokens].append(row)
        for group in by_tokens.values():
            for i, row in enumerate(group[1:], start=1):
                self._report_pair(row, group[:i], homonyms_are_usual)

    def _report_pair(self, row: ClassRow, others: list[ClassRow], usual: bool) -> None:
        first = next((o for o in others if o.name == row.name), None)
        kind = 'duplicate_name'
        if first is None:
            first = next((o for o in others if _alike(o.name) == _alike(row.name)), None)
            kind = 'same_words'
        if first is None:
            first, kind = others[0], 'same_prompt'
            if usual and '(' in row.name + first.name:
                kind = 'homonym'
        self.findings.add(kind, f'class {row.category_id}',
                          f'{row.name!r} and {first.name!r} of class {first.category_id}')

    def _measure(self, rows: list[ClassRow], where: str) -> None:
        for row in rows:
            special = self.settings.tokenizer.special_tokens
            if len(row.tokens) + special > self.settings.max_tokens:
                self.findings.add('class_too_long', f'class {row.category_id}',
                                  f'{len(row.tokens)} tokens in {row.name!r}')
        budget = self.settings.training_tokens
        if budget is None or not rows:
            return
        names = list(dict.fromkeys(row.name for row in rows))
        length = self.settings.tokenizer.length(class_prompt(names).caption)
        if length > budget:
            self.findings.add('prompt_too_long', where,
                              f'{length} tokens of {len(names)} classes, where {budget} fit')


def _alike(name: str) -> str:
    """Names of the same words have the same value here; parentheses count."""
    return ' '.join(name.replace('_', ' ').split()).lower()
