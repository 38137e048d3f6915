"""The prompts for the images of a task."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from glipkit.data.transforms.class_prompt import keep_boxes
from glipkit.registry import TRANSFORMS
from glipkit.text.query import Query


@TRANSFORMS.register_module()
class AskClasses(BaseTransform):
    """Asks for all classes in their order, with the task's hand-written prompts.

    Sets ``caption_prompt``. Where the class list takes several prompts, a training image gets one
    of them at a time: in half of all draws one that names a class of the image, otherwise any;
    ``text`` becomes its names, and boxes of other classes are left out. Captions pass unchanged.

    Args:
        prompts: Class names of each prompt; None leaves the class list whole.
        caption_prompt: Hand-written prompts, name -> dict(prefix=, name=, suffix=).
    """

    def __init__(self, prompts: Sequence[Sequence[str]] | None = None,
                 caption_prompt: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self.prompts = [tuple(names) for names in prompts or ()]
        self.caption_prompt = caption_prompt

    def transform(self, results: dict) -> dict:
        """Draws from numpy's global generator where there is a choice."""
        query = Query.of_sample(results)
        if query.is_caption:
            return results
        if self.caption_prompt:
            query = query.with_caption_prompt(self.caption_prompt)
            results.update(query.as_fields())
        if len(self.prompts) > 1:
            self._ask_one(results, query)
        return results

    def _ask_one(self, results: dict, query: Query) -> None:
        names = query.classes
        labels = np.asarray(results.get('gt_bboxes_labels', ()), dtype=np.int64)
        there = {names[label] for label in labels}
        fitting = [p for p in self.prompts if there & set(p)]
        # Otherwise most prompts of a long class list would name only what is not in the image.
        choice = fitting if fitting and np.random.rand() < 0.5 else self.prompts
        chosen = choice[np.random.randint(len(choice))]
        new_label = {names.index(name): i for i, name in enumerate(chosen)}
        keep_boxes(results, np.array([label in new_label for label in labels], dtype=bool))
        results.update(query.with_classes(chosen).as_fields())
        if 'gt_bboxes_labels' in results:
            results['gt_bboxes_labels'] = np.array(
                [new_label[label] for label in results['gt_bboxes_labels']], dtype=np.int64)
