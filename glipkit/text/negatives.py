"""Which classes of a large vocabulary stand in the training prompt of one image."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence

import numpy as np

from glipkit.errors import UserError
from glipkit.text.prompts import clean_name

BACKGROUND = '__background__'


def sample_classes(positives: Collection[int], names: Sequence[str], lengths: Sequence[int],
                   rng: np.random.Generator, num_negatives: int = 85, full_prob: float = 0.5,
                   max_tokens: int = 254, candidates: Collection[int] | None = None,
                   leave_out_prob: float = 0.,
                   similar: Callable[[int], Collection[int]] | None = None,
                   similar_share: float = 0.) -> list[int]:
    """Draws the classes of one training prompt: those in the image, and some that are not.

    Follows GLIP paper appendix C.1 and the official detection-to-grounding sampler. Where the
    code differs from the description in the paper, the description decides:

    - the official code also draws the background class and prints it into prompts; here a class
      named '__background__' is never drawn;
    - it draws from all classes and discards positives, so there can be too few negatives; here
      they are drawn from the negatives only;
    - when the positives exceed the budget, it drops every one after the first that does not fit,
      and still counts that one; here a shorter one may take its place.

    Args:
        positives: Labels of the image's boxes; repetitions count once. May be empty.
        names: All class names; labels are indices into them.
        lengths: Number of word pieces of each class with a separator, e.g. ``count(name + '. ')``.
        rng: Random generator; equal states give equal prompts.
        num_negatives: Largest number of negatives in a prompt.
        full_prob: Probability of asking for all ``num_negatives``; otherwise their number is
            uniform from 1 to ``num_negatives``.
        max_tokens: Budget of the summed lengths: 256 less [CLS] and [SEP].
        candidates: Labels that may be negatives; None allows all. Positives among them stay
            positives.
        leave_out_prob: Probability with which each class of the image is left out, neither
            positive nor negative; 0 is the official sampler. No class is left out where no
            negative could take its place. A long list of classes needs many prompts, most of
            which name nothing in the image. A model that was never trained on such prompts finds
            something in these cases too; this setting trains it on them.
        similar: Function from a label to the labels of the names most like its own, see
            `SharedWords`; None is the official sampler.
        similar_share: Expected share of the negatives that are drawn from names like those of the
            image, as far as there are any. Names drawn at random mostly share no word with what is
            shown, so that a model learns to find one word of a name, not to read all of them.

    Returns:
        Labels in random order. A positive label is absent where chance or the budget left it
        out; its boxes must then be dropped.

    Raises:
        UserError: A positive label outside ``names``, a wrong number of lengths, or a vocabulary
            from which nothing fits the budget.
    """
    positives = sorted(set(map(int, positives)))
    _check(positives, names, lengths)
    _check(sorted(candidates or ()), names, lengths)
    taken = set(positives)
    allowed = range(len(names)) if candidates is None else sorted(set(map(int, candidates)))
    pool = [i for i in allowed if i not in taken and names[i] != BACKGROUND]
    most = min(num_negatives, len(pool))
    alike = set() if similar is None else {near for label in positives for near in similar(label)}
    if leave_out_prob and most:
        positives = [label for label in positives if rng.random() >= leave_out_prob]
    kept: list[int] = []
    left = max_tokens
    for label in rng.permutation(positives).astype(int).tolist():
        if lengths[label] <= left:
            kept.append(label)
            left -= lengths[label]

    if most:
        wanted = most if rng.random() < full_prob else int(rng.integers(1, most + 1))
        for label in _negatives(pool, alike, wanted, similar_share, rng):
            if lengths[label] > left:  # skipping instead would favour short names
                break
            kept.append(label)
            left -= lengths[label]
    if not kept:
        raise UserError(f'a class of at most {max_tokens} word pieces',
                        f'none among {len(names)} classes', 'shorten names or raise max_tokens')
    return rng.permutation(kept).tolist()


class SharedWords:
    """For the label of a name, the labels of the others that share the most words with it.

    None that shares fewer words than the nearest one: of names such as 'large red striped star' the
    neighbours that differ in one word are a few among many that share two, and they are those that
    a model confuses.

    Args:
        names: All class names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._words = [set(clean_name(name).lower().split()) for name in names]
        self._having: dict[str, list[int]] = defaultdict(list)
        for label, words in enumerate(self._words):
            for word in words:
                self._having[word].append(label)
        self._found: dict[int, frozenset[int]] = {}

    def __call__(self, label: int) -> frozenset[int]:
        """Labels of the most similar names; none where no other name shares a word.

        >>> sorted(SharedWords(['red big cup', 'red big jug', 'red hat', 'dog'])(0))
        [1]
        """
        if label not in self._found:
            shared = Counter(other for word in self._words[label] for other in self._having[word]
                             if other != label)
            most = max(shared.values(), default=0)
            self._found[label] = frozenset(o for o, count in shared.items() if count == most)
        return self._found[label]


def _negatives(pool: Sequence[int], alike: Collection[int], wanted: int, share: float,
               rng: np.random.Generator) -> list[int]:
    """``wanted`` labels of the pool in random order; about a share of them from ``alike``."""
    drawn = rng.permutation(pool)
    if not alike or not share:
        return drawn[:wanted].tolist()
    near = np.isin(drawn, list(alike))
    count = min(int(near.sum()), rng.binomial(wanted, share))
    chosen = np.concatenate([drawn[near][:count], drawn[~near], drawn[near][count:]])[:wanted]
    return rng.permutation(chosen).tolist()


def _check(positives: list[int], names: Sequence[str], lengths: Sequence[int]) -> None:
    if len(lengths) != len(names):
        raise UserError(f'{len(names)} lengths, one per class name', f'{len(lengths)}',
                        'count the word pieces of every name')
    if positives and not 0 <= positives[0] <= positives[-1] < len(names):
        raise UserError(f'labels from 0 to {len(names) - 1}',
                        f'labels from {positives[0]} to {positives[-1]}',
                        'map category ids to 0-based labels first')
