"""The prompts for the images of a task."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from glipkit.data.transforms.class_prompt import keep_boxes
from glipkit.errors import UserError
from glipkit.registry import TRANSFORMS
from glipkit.text.query import Query


@TRANSFORMS.register_module()
class AskClasses(BaseTransform):
    """Asks for all classes in their order, with the task's hand-written prompts.

    Sets the query. Where the class list takes several prompts, a training image gets one of them at
    a time: in half of all draws one that names a class of the image, otherwise any; ``text``
    becomes its classes, and boxes of other classes are left out. Captions pass unchanged.

    Args:
        prompts: Names of each prompt; None leaves the class list whole.
        caption_prompt: Hand-written prompts, name -> dict(prefix=, name=, suffix=).
        query: What is asked instead of the data's class names alone: ``classes``, some or all of
            these, and further arguments of `Query.for_classes`. Boxes of other classes are left
            out. None asks for the names as they are.

    Raises:
        UserError: A query of another form.
    """

    def __init__(self, prompts: Sequence[Sequence[str]] | None = None,
                 caption_prompt: Mapping[str, Mapping[str, str]] | None = None,
                 query: Mapping[str, Any] | None = None) -> None:
        self.caption_prompt = caption_prompt
        self.query = None if query is None else read_plain(query)
        self.prompts = [frozenset(names) for names in prompts or ()]

    def transform(self, results: dict) -> dict:
        """Draws from numpy's global generator where there is a choice."""
        query = Query.of_sample(results)
        if query.is_caption:
            return results
        if self.query is not None:
            query = _asked_of(results, query, self.query)
        if self.caption_prompt:
            query = query.with_caption_prompt(self.caption_prompt)
        if self.caption_prompt or self.query is not None:
            results.update(query.as_fields())
        if len(self.prompts) > 1:
            self._ask_one(results, query)
        return results

    def _ask_one(self, results: dict, query: Query) -> None:
        names = query.classes
        labels = np.asarray(results.get('gt_bboxes_labels', ()), dtype=np.int64)
        there = {names[label] for label in labels}
        asked = [p for p in self.prompts if p & set(names)]  # others hold negatives alone
        fitting = [p for p in asked if there & p]
        # Otherwise most prompts of a long class list would name only what is not in the image.
        choice = fitting if fitting and np.random.rand() < 0.5 else asked
        chosen = choice[np.random.randint(len(choice))]
        one = query.with_classes(name for name in names if name in chosen)
        one = replace(one, negatives=tuple(name for name in one.negatives if name in chosen))
        results.update(_asked_of(results, query, one).as_fields())


def read_plain(query: Mapping[str, Any]) -> Query:
    """A query of plain values, as configs hold it.

    Raises:
        UserError: Without classes, or with what `Query.for_classes` does not take.
    """
    parts = dict(query)
    known = ('classes', 'caption_prompt', 'synonyms', 'combine', 'negative_classes', 'exclusive')
    strange = [key for key in parts if key not in known]
    if strange or 'classes' not in parts:
        raise UserError(f'a query with {", ".join(known)}', strange[0] if strange else 'no classes',
                        'correct it')
    return Query.for_classes(parts.pop('classes'), **parts)


def _asked_of(results: dict, old: Query, new: Query) -> Query:
    """The new query of a sample whose labels index the classes of the old one until now."""
    if new.classes == old.classes:
        return new
    place = {name: label for label, name in enumerate(new.classes)}
    new_label = np.array([place.get(name, -1) for name in old.classes], dtype=np.int64)
    labels = np.asarray(results.get('gt_bboxes_labels', ()), dtype=np.int64)
    keep_boxes(results, new_label[labels] >= 0)
    if 'gt_bboxes_labels' in results:
        results['gt_bboxes_labels'] = new_label[results['gt_bboxes_labels']]
    return new
