"""What a call asks, as a query."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glipkit.apis.arguments import Shown
from glipkit.apis.tile_windows import Tiles
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.phrases import extract_phrases
from glipkit.text.prompts import check_class_names, class_prompt, phrase_prompt
from glipkit.text.query import Query
from glipkit.text.structures import CaptionPrompt, Span

Phrases = Sequence[Span | Sequence[Span]]


@dataclass(frozen=True, eq=False)
class Question:
    """What all images of a call are asked, and who answers; from `Predictor.question`.

    Args:
        query: The question itself.
        names: Strings that labels stand for.
        channel_order: Order of the channels of arrays.
        shown: Which detections are returned.
        model: Detector that answers: the base model or the view of a task.
        category_ids: Category id of each of the names, where a task tells them.
        tiles: Tiles that images are seen in too; None for the whole images alone.
    """

    query: Query
    names: tuple[str, ...]
    channel_order: str
    shown: Shown
    model: GroundingDetector
    category_ids: tuple[int, ...] | None
    tiles: Tiles | None = None


Classes = Query | Mapping[str, Iterable[str] | None] | Iterable[str]
"""What to look for: names in an order, name -> other names, or a whole `Query`."""


def as_query(classes: Classes, caption_prompt: CaptionPrompt | None = None) -> Query:
    """The query of class names in one of the forms that calls take.

    Raises:
        UserError: Another form, or a whole query and hand-written prompts beside it.
    """
    if isinstance(classes, Query):
        if caption_prompt is not None:
            raise UserError('hand-written prompts in the query', 'caption_prompt beside it',
                            'pass Query.for_classes(names, caption_prompt)')
        return classes
    if isinstance(classes, Mapping):
        return Query.for_classes(classes, caption_prompt, synonyms={
            name: () if others is None else others for name, others in classes.items()})
    return Query.for_classes(classes, caption_prompt)


def make_query(classes: Classes | None, caption: str | None, phrases: Phrases | str | None,
               caption_prompt: CaptionPrompt | None = None, negative_classes: Iterable[str] = (),
               exclusive: Iterable[Iterable[str]] = ()) -> Query:
    """The query of a call.

    Raises:
        UserError: For both or neither of classes and caption, and for a caption or phrases that
            cannot be asked for. Class names are checked where their prompts are built.
    """
    if (classes is None) == (caption is None):
        raise UserError('either classes or a caption',
                        'both' if caption is not None else 'neither',
                        "pass classes=['person', ...] or caption='a person ...'")
    if classes is not None:
        if phrases is not None:
            raise UserError('phrases only with a caption', 'classes and phrases',
                            'drop the phrases, or pass the caption they belong to')
        return as_query(classes, caption_prompt).with_more(negative_classes, exclusive)
    if caption_prompt is not None:
        raise UserError('caption_prompt only with classes', 'a caption', 'leave it out')
    if phrases is None or isinstance(phrases, str):
        if phrases not in (None, 'auto'):
            raise UserError("phrases as [(start, end), ...] or 'auto'", repr(phrases),
                            'count characters from 0; end is the first one after the phrase')
        phrases = extract_phrases(caption)
        if not phrases:
            raise UserError('a caption with a noun phrase in it', repr(caption),
                            'pass phrases=[(start, end), ...] yourself')
    query = Query.for_caption(caption, phrase_prompt(caption, phrases).spans)
    return query.with_more(negative_classes, exclusive)


def check_query(query: Query) -> None:
    """Refuses a query that no model can be asked, before a model is loaded.

    Raises:
        UserError: For a class name that cannot stand in a prompt.
    """
    if not query.is_caption:
        check_class_names(query.classes)
        class_prompt([name for name, _ in query.asked], caption_prompt=query.caption_prompt)


def split_names(text: str) -> list[str]:
    """Names between commas; one that is in double quotes as a whole may hold commas.

    >>> split_names('dog, "salt, pepper and oil"')
    ['dog', 'salt, pepper and oil']
    """
    names = re.findall(r'\s*("(?:[^"]|"")*"(?=\s*(?:,|$))|[^,]*)\s*(?:,|$)', text)
    names = [name.strip() for name in names]
    while names and not names[-1]:  # after a comma at the end
        names.pop()
    return [name[1:-1].replace('""', '"') if re.fullmatch(r'"(?:[^"]|"")*"', name) else name
            for name in names]


class Asks:
    """How all parts of `Predictor` find what a call asks, and who answers."""

    def _asked_names(self, classes: Classes | None, task: str | Path | None) -> tuple:
        """The question of a call, its task and who answers, as `Predictor` finds them.

        Raises:
            UserError: No class names, neither in the call nor by `set_classes` or a task.
        """
        task_is_set = self._task is not None if task is None else bool(task)
        if classes is None and self._query is None and not task_is_set:
            raise UserError('class names', 'none',
                            "pass classes=['person', ...] or a task, or call set_classes before")
        return self._asked(classes, None, None, None, task)

    def _asked(self, classes: Classes | None, caption: str | None, phrases: Phrases | str | None,
               caption_prompt: CaptionPrompt | None, task: str | Path | None,
               negative_classes: Iterable[str] = (), exclusive: Iterable[Iterable[str]] = ()
               ) -> tuple[Query, str | None, GroundingDetector]:
        """The question of a call, the task that it is asked with, and who answers."""
        classes, task = self._with_examples(classes, task)
        # A task that the call names brings its own classes; '' names the base model.
        asked = None if task else self._query
        task = self._task if task is None else str(task) or None
        if classes is None and caption is None and phrases is None and (task or asked):
            if caption_prompt is not None:
                raise UserError('caption_prompt only with classes', 'none', 'pass the classes too')
            query = asked or self._tasks.query(task, None)
        else:
            query = make_query(classes, caption, phrases, caption_prompt)
        query = query.with_more(negative_classes, exclusive)
        if task is not None:
            query = self._tasks.query(task, query)
        return query, task, self._tasks.view(task)
