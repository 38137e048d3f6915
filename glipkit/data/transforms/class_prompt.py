"""The classes in the prompt of a detection image in training."""
from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from glipkit.errors import UserError
from glipkit.registry import TRANSFORMS
from glipkit.text.negatives import SharedWords, sample_classes
from glipkit.text.prompts import class_prompt, clean_name
from glipkit.text.query import Query
from glipkit.text.tokenizers import build_tokenizer


@TRANSFORMS.register_module()
class SampleClassPrompt(BaseTransform):
    """Replaces all class names by those of the image and some others, in random order.

    Li et al., CVPR 2022, appendix C.1; the sampling itself is
    `glipkit.text.negatives.sample_classes`. Labels index the new names; boxes whose class was left
    out, by chance or for the token budget, are dropped. Captions pass unchanged. Sets the query;
    filters ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_ignore_flags``.

    Where samples carry ``absent_labels`` (federated sets), negatives are drawn only from these,
    and never from ``not_exhaustive_labels``; a sample with neither boxes nor such negatives is
    dropped. Both keys are removed, for their labels no longer hold.

    Args:
        num_negatives: Largest number of classes that are not in the image.
        full_prob: Probability of asking for all ``num_negatives``; otherwise their number is
            uniform.
        max_tokens: Budget in tokens, special ones not counted.
        leave_out_prob: Probability with which each class of the image is left out, with its
            boxes; 0 is the official sampler. For models that are asked for long lists in short
            prompts.
        similar_share: Expected share of the negatives whose names share words with a class of the
            image; 0 is the official sampler. For names of several words that differ in one.
        separator: Text between two class names, as the model joins them.
        tokenizer: Config of the text encoder's tokenizer, where it is not the default one. A run
            hands over the encoder's own.

    Raises:
        UserError: Class names that cannot stand in a prompt, or a share or probability
            outside 0 to 1.
    """

    def __init__(self,
                 num_negatives: int = 85,
                 full_prob: float = 0.5,
                 max_tokens: int = 254,
                 leave_out_prob: float = 0.,
                 similar_share: float = 0.,
                 separator: str = '. ',
                 tokenizer: dict[str, Any] | None = None) -> None:
        for name, value in (('leave_out_prob', leave_out_prob), ('similar_share', similar_share)):
            if not 0 <= value <= 1:
                raise UserError(f'{name} from 0 to 1', repr(value), 'correct it')
        self.num_negatives, self.full_prob, self.max_tokens = num_negatives, full_prob, max_tokens
        self.leave_out_prob, self.similar_share = leave_out_prob, similar_share
        self.separator = separator
        self.tokenizer = build_tokenizer(tokenizer)
        self._lengths: dict[tuple[str, ...], list[int]] = {}
        self._shared: dict[tuple[str, ...], SharedWords] = {}

    def transform(self, results: dict) -> dict | None:
        """Draws the prompt from numpy's global generator."""
        query = Query.of_sample(results)
        if query.is_caption:
            return results
        names = query.classes
        labels = np.asarray(results.get('gt_bboxes_labels', ()), dtype=np.int64)
        candidates = _candidates(results, len(names))
        if candidates is not None and not candidates and not len(labels):
            return None
        rng = np.random.default_rng(np.random.randint(2**32, size=4, dtype=np.uint32))
        chosen = sample_classes(
            positives=set(labels.tolist()), names=names, lengths=self._count(names), rng=rng,
            num_negatives=self.num_negatives, full_prob=self.full_prob, max_tokens=self.max_tokens,
            candidates=candidates, leave_out_prob=self.leave_out_prob, similar=self._similar(names),
            similar_share=self.similar_share)
        results.update(query.with_classes(names[label] for label in chosen).as_fields())
        if 'gt_bboxes_labels' in results:
            new_label = np.full(len(names), -1, dtype=np.int64)
            new_label[chosen] = np.arange(len(chosen))
            keep_boxes(results, new_label[labels] >= 0)
            results['gt_bboxes_labels'] = new_label[results['gt_bboxes_labels']]
        return results

    def _similar(self, names: tuple[str, ...]) -> SharedWords | None:
        if not self.similar_share:
            return None
        if names not in self._shared:
            self._shared[names] = SharedWords(names)
        return self._shared[names]

    @property
    def prompt_budget(self) -> int:
        """Largest number of tokens of a prompt, special ones included."""
        return self.max_tokens + self.tokenizer.special_tokens

    def _count(self, names: tuple[str, ...]) -> list[int]:
        """Number of word pieces of each name with its separator, counted once per list of names."""
        names = tuple(names)
        if names not in self._lengths:
            class_prompt(names)  # refuses what cannot be asked for
            self._lengths[names] = [
                self.tokenizer.count(clean_name(name) + self.separator) for name in names
            ]
        return self._lengths[names]


def _candidates(results: dict, count: int) -> set[int] | None:
    """Labels that may be negatives; None where every class may."""
    absent = results.pop('absent_labels', None)
    partial = results.pop('not_exhaustive_labels', ())
    if absent is None and not partial:
        return None
    return set(range(count) if absent is None else absent) - set(partial)


def keep_boxes(results: dict, mask: np.ndarray) -> None:
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        if key in results:
            results[key] = results[key][mask]
