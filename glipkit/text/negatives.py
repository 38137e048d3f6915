"""Which classes of a large vocabulary stand in the training prompt of one image."""
from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from glipkit.errors import UserError

BACKGROUND = '__background__'


def sample_classes(positives: Collection[int], names: Sequence[str], lengths: Sequence[int],
                   rng: np.random.Generator, num_negatives: int = 85, full_prob: float = 0.5,
                   max_tokens: int = 254, candidates: Collection[int] | None = None,
                   leave_out_prob: float = 0.) -> list[int]:
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
        for label in rng.permutation(pool)[:wanted].tolist():
            if lengths[label] > left:  # skipping instead would favour short names
                break
            kept.append(label)
            left -= lengths[label]
    if not kept:
        raise UserError(f'a class of at most {max_tokens} word pieces',
                        f'none among {len(names)} classes', 'shorten names or raise max_tokens')
    return rng.permutation(kept).tolist()


def _check(positives: list[int], names: Sequence[str], lengths: Sequence[int]) -> None:
    if len(lengths) != len(names):
        raise UserError(f'{len(names)} lengths, one per class name', f'{len(lengths)}',
                        'count the word pieces of every name')
    if positives and not 0 <= positives[0] <= positives[-1] < len(names):
        raise UserError(f'labels from 0 to {len(names) - 1}',
                        f'labels from {positives[0]} to {positives[-1]}',
                        'map category ids to 0-based labels first')
