"""What one image is asked, in one value: class names or a caption, and all that goes with them."""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glipkit.errors import UserError
from glipkit.text.query_parts import (
    Groups,
    Synonyms,
    check_parts,
    frozen_groups,
    frozen_names,
    frozen_synonyms,
)
from glipkit.text.structures import CaptionPrompt, Span

_PARTS = ('prefix', 'name', 'suffix')


@dataclass(frozen=True)
class Query:
    """The question that a sample carries through data, model, tuning and labelling.

    Exactly one of ``classes`` and ``caption`` is set. Equal queries are equal values and have equal
    hashes, so a query can be the key of a cache. Make one with `for_classes`,
    `for_caption` or `of_sample`.

    Attributes:
        classes: The K class names in the order of their labels; None for a caption.
        caption: One text; None for class names.
        phrases: Captions only. Character spans of each of the P phrases, in the order of their
            labels; None lets the detector take the noun phrases.
        unknown: Captions only. Spans of phrases that have no boxes although they may be in the
            image: no loss counts their tokens as absent.
        written: Class names only. Hand-written prompts as (class name, (part, text)...) pairs; see
            `caption_prompt`.
        templates: Class names only. Sentences with a pair of braces for the name, for text encoders
            that read one sentence per class; their features are averaged. None: the bare name.
        synonyms: Class names only. Other names of classes, as (class name, other names) pairs.
        combine: How the scores of a class's names become one: ``'max'`` or ``'mean'``.
        negatives: Class names only. What looks like a class and must not be found: it is asked
            too and competes, and is never returned.
        exclusive: Class names only. Groups of classes of which one object has one.

    Raises:
        UserError: A class name that is no string, or a name that would mean two things.
    """
    classes: tuple[str, ...] | None = None
    caption: str | None = None
    phrases: tuple[tuple[Span, ...], ...] | None = None
    unknown: tuple[Span, ...] = ()
    written: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    templates: tuple[str, ...] = ()
    synonyms: Synonyms = ()
    combine: str = 'max'
    negatives: tuple[str, ...] = ()
    exclusive: Groups = ()

    def __post_init__(self) -> None:
        check_parts(self.classes or (), self.synonyms, self.combine, self.negatives, self.exclusive)

    @classmethod
    def for_classes(cls, names: Iterable[str], caption_prompt: CaptionPrompt | None = None,
                    templates: Sequence[str] = (), *,
                    synonyms: Mapping[str, Iterable[str]] | None = None, combine: str = 'max',
                    negative_classes: Iterable[str] = (),
                    exclusive: Iterable[Iterable[str]] = ()) -> Query:
        """A query for class names.

        Args:
            names: Any number of names; labels index them.
            caption_prompt: Hand-written prompts, name -> dict(prefix=, name=, suffix=).
            templates: Sentences, see the attribute of the class.
            synonyms: Class name -> its other names.
            combine: How the scores of a class's names become one: ``'max'`` or ``'mean'``.
            negative_classes: What must not be found, see ``negatives``.
            exclusive: Groups of two or more class names of which one object has one.

        Raises:
            UserError: A single string or a set instead of a list of names, a hand-written prompt
                of another form, or a name that would mean two things.
        """
        if isinstance(names, str):
            raise UserError('a list of class names', f'the string {names!r}', f'pass [{names!r}]')
        if isinstance(names, (set, frozenset)):
            raise UserError('class names in an order, which labels index',
                            f'a {type(names).__name__}, which has none',
                            'pass e.g. sorted(classes)')
        if not isinstance(names, Iterable):
            raise UserError('a list of class names', f'{type(names).__name__} {names!r}',
                            "pass e.g. ['person', 'dog']")
        return cls(classes=tuple(names), written=_frozen(caption_prompt),
                   templates=tuple(templates), synonyms=frozen_synonyms(synonyms),
                   combine=combine, exclusive=frozen_groups(exclusive),
                   negatives=frozen_names(negative_classes, 'negative_classes'))

    @classmethod
    def for_caption(cls, caption: str, phrases: Iterable[Iterable[Span]] | None = None,
                    unknown: Iterable[Span] = ()) -> Query:
        """A query for the phrases of a caption; for the arguments see the attributes."""
        return cls(caption=caption, phrases=None if phrases is None else _spans(phrases),
                   unknown=tuple(span for spans in _spans(unknown) for span in spans))

    @classmethod
    def of_sample(cls, sample: Any) -> Query:
        """The query of a sample: a results dict of a pipeline or a data sample.

        Only this method knows the fields of a sample: ``query`` itself, or ``text`` (class names
        or a caption) with ``caption_prompt``, or with ``phrases``, ``tokens_positive`` (there or in
        ``gt_instances``) and ``ungrounded``.
        """
        query, text = sample.get('query'), sample.get('text')
        if query is not None and text in (None, query.text):  # else ``text`` was changed since
            return query
        if not isinstance(text, str):
            return cls.for_classes(text, sample.get('caption_prompt'))
        phrases = next((owner.get(key) for owner, key in (
            (sample, 'phrases'), (sample.get('gt_instances') or {}, 'tokens_positive'),
            (sample, 'tokens_positive')) if key in owner), None)
        return cls.for_caption(text, phrases, sample.get('ungrounded') or ())

    def as_fields(self) -> dict[str, Any]:
        """The fields of a sample that hold this query; `of_sample` reads them back."""
        fields: dict[str, Any] = dict(query=self, text=self.text)
        if self.is_caption:
            if self.phrases is not None:
                fields['phrases'] = [list(spans) for spans in self.phrases]
            if self.unknown:
                fields['ungrounded'] = list(self.unknown)
        elif self.written:
            fields['caption_prompt'] = self.caption_prompt
        return fields

    def __deepcopy__(self, memo: dict) -> Query:
        """The query itself, which never changes: mmengine copies the metainfo of every sample."""
        return self

    @property
    def is_caption(self) -> bool:
        """Whether labels stand for phrases of a caption, not for class names."""
        return self.caption is not None

    @property
    def text(self) -> str | tuple[str, ...]:
        """The caption, or the class names."""
        return self.caption if self.caption is not None else self.classes or ()

    @property
    def caption_prompt(self) -> dict[str, dict[str, str]] | None:
        """Hand-written prompts, name -> dict(prefix=, name=, suffix=); None where there are none.

        prefix + name + suffix stands in the prompt as written, and the class is scored on the
        words of ``name`` alone (official option ``caption_prompt``).
        """
        return {name: dict(parts) for name, parts in self.written} or None

    @property
    def asked(self) -> tuple[tuple[str, int], ...]:
        """Every (name, label) that a model is asked, the names of a class one after another.

        The names of the K classes come first; negatives follow, with labels from K on.
        """
        others = dict(self.synonyms)
        names = [(name, label) for label, own in enumerate(self.classes or ())
                 for name in (own, *others.get(own, ()))]
        return (*names, *((name, len(self.classes or ()) + i)
                          for i, name in enumerate(self.negatives)))

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The labels of each exclusive group."""
        place = {name: label for label, name in enumerate(self.classes or ())}
        return tuple(tuple(place[name] for name in group) for group in self.exclusive)

    @property
    def parts(self) -> dict[str, Any]:
        """What goes with the class names, as plain values for JSON; empty where nothing does.

        ``Query.for_classes(query.classes, **query.parts)`` is the same question again.
        """
        found = dict(synonyms={name: list(others) for name, others in self.synonyms},
                     combine=self.combine if self.combine != 'max' else '',
                     negative_classes=list(self.negatives),
                     exclusive=[list(group) for group in self.exclusive])
        return {key: value for key, value in found.items() if value}

    @property
    def plain(self) -> dict[str, Any]:
        """Class names and all that goes with them as plain values, for configs and JSON."""
        written = {} if self.caption_prompt is None else dict(caption_prompt=self.caption_prompt)
        return dict(classes=list(self.classes or ()), **written, **self.parts)

    def with_classes(self, names: Iterable[str]) -> Query:
        """The same question for other class names; what went with a name that is gone goes too."""
        names = tuple(names)
        kept = set(names)
        synonyms = [(name, tuple(other for other in others if other not in kept))
                    for name, others in self.synonyms if name in kept]
        groups = (tuple(name for name in group if name in kept) for group in self.exclusive)
        return replace(self, classes=names,
                       synonyms=tuple((name, others) for name, others in synonyms if others),
                       negatives=tuple(name for name in self.negatives if name not in kept),
                       exclusive=tuple(group for group in groups if len(group) > 1))

    def without(self, names: Collection[str]) -> tuple[Query | None, tuple[int, ...]]:
        """What is left of a question about class names when some of all its names are not asked.

        Args:
            names: Names to leave out, be they of classes, other names of theirs, or negatives.

        Returns:
            A query whose classes are the labels that have a name left, those of negatives too, or
            None where there is none; and the label that each of its classes has in this query.
        """
        left: dict[int, list[str]] = {}
        for name, label in self.asked:
            if name not in names:
                left.setdefault(label, []).append(name)
        if not left:
            return None, ()
        written = {name: parts for name, parts in (self.caption_prompt or {}).items()
                   if name not in names}
        return Query.for_classes(
            [own[0] for own in left.values()], written or None, self.templates,
            synonyms={own[0]: own[1:] for own in left.values()}, combine=self.combine), tuple(left)

    def with_more(self, negative_classes: Iterable[str] = (),
                  exclusive: Iterable[Iterable[str]] = ()) -> Query:
        """The same question with further negatives and exclusive groups.

        Raises:
            UserError: As `for_classes`, or a caption.
        """
        negatives = [name for name in frozen_names(negative_classes, 'negative_classes')
                     if name not in self.negatives]
        groups = [group for group in frozen_groups(exclusive) if group not in self.exclusive]
        if not negatives and not groups:
            return self
        if self.is_caption:
            raise UserError('negative_classes and exclusive only with classes', 'a caption',
                            'leave them out')
        more = dict(negative_classes=[*self.negatives, *negatives],
                    exclusive=[*self.exclusive, *groups])
        return type(self).for_classes(self.classes, self.caption_prompt, self.templates,
                                      **{**self.parts, **more})

    def with_caption_prompt(self, caption_prompt: CaptionPrompt | None) -> Query:
        """The same class names, asked with other hand-written prompts."""
        return replace(self, written=_frozen(caption_prompt))


def _frozen(caption_prompt: CaptionPrompt | None
            ) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Hand-written prompts as a value that can be hashed."""
    frozen = []
    for name, parts in (caption_prompt or {}).items():
        if not isinstance(parts, Mapping) or not set(parts) <= set(_PARTS):
            raise UserError("hand-written prompts with 'prefix', 'name' and 'suffix'",
                            f'{parts!r} for {name!r}',
                            "write e.g. dict(name='holes', suffix=' on the road')")
        frozen.append((name, tuple((part, parts[part]) for part in _PARTS if part in parts)))
    return tuple(frozen)


def _spans(phrases: Iterable[Any]) -> tuple[tuple[Span, ...], ...]:
    """Spans of each phrase; a phrase may be one span or a list of spans."""
    try:
        listed = [[phrase] if len(phrase) and hasattr(phrase[0], '__index__') else phrase
                  for phrase in phrases]
        return tuple(tuple((int(begin), int(end)) for begin, end in spans) for spans in listed)
    except (TypeError, ValueError) as error:
        raise UserError('each phrase as (start, end) or a list of such pairs', repr(phrases),
                        'pass whole numbers that count characters') from error
