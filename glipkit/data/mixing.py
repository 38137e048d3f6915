"""Several sources as one training set, with randomness that depends on the draw alone."""
from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset

from glipkit.data.draw_plan import DrawPlan, quotas_from_weights
from glipkit.errors import UserError
from glipkit.registry import DATASETS


@DATASETS.register_module()
class MixedDataset(torch.utils.data.Dataset):
    """Detection and grounding sets in one; used with `DrawSampler`.

    An index is a *virtual* one, ``draw * len(self) + i``: sample ``i`` of all sources in a row, as
    draw number ``draw`` of the training. Python's, numpy's and torch's generators are seeded with
    (seed, draw) while its pipeline runs and put back afterwards, so that augmentations depend
    neither on workers nor on what was drawn before, and are new at every draw. A replacement for
    an unreadable image is drawn under the same seed, from the same source. Plain indices are those
    of draw 0.

    Args:
        datasets: Sources, as configs or built.
        weights: Share of the draws per source, any positive numbers; a pass then has as many
            draws as there are samples.
        copies: Instead of weights, how often each sample of a source is drawn per pass (the
            official copy switches). Default: once.
        seed: Seed of order and augmentations. None takes the one that the runner gives the sampler.
        pipeline: Pipeline of every source config that has none of its own.

    Raises:
        UserError: No source, a number of weights or copies that differs from theirs, or both.
    """

    def __init__(self,
                 datasets: Sequence[Mapping | BaseDataset],
                 weights: Sequence[float] | None = None,
                 copies: Sequence[int] | None = None,
                 seed: int | None = None,
                 pipeline: Sequence[Mapping] | None = None) -> None:
        _check_shares(len(datasets), weights, copies)
        defaults = {} if pipeline is None else dict(pipeline=pipeline)
        self.datasets = [
            DATASETS.build({**defaults, **source}) if isinstance(source, Mapping) else source
            for source in datasets
        ]
        self.weights, self.copies, self.seed = weights, copies, seed

    def full_init(self) -> None:
        """Reads the annotation files of sources that wait for it."""
        for dataset in self.datasets:
            dataset.full_init()

    @property
    def metainfo(self) -> dict:
        """Metainfo of the sources; their ``classes`` only where all sources share them."""
        sources = [dataset.metainfo for dataset in self.datasets]
        classes = sources[0].get('classes')
        shared = {} if classes is None or any(s.get('classes') != classes for s in sources) else {
            'classes': classes}
        return dict(sources=sources, **shared)

    @property
    def lengths(self) -> list[int]:
        """Samples of each source."""
        return [len(dataset) for dataset in self.datasets]

    def __len__(self) -> int:
        """Samples of all sources, each counted once."""
        return sum(self.lengths)

    def __iter__(self) -> Iterator[Any]:
        # Without this, iteration would never end: there is no last virtual index.
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Any:
        """Sample of a virtual index."""
        draw, i = divmod(index, len(self))
        if index < 0:
            raise IndexError(f'virtual indices count from 0, got {index}')
        starts = [0, *accumulate(self.lengths)]
        source = bisect_right(starts, i) - 1
        with seeded(self.seed or 0, draw):
            return self.datasets[source][i - starts[source]]

    def plan(self, shuffle: bool = True) -> DrawPlan:
        """The order of draws."""
        lengths = self.lengths
        if not all(lengths):
            raise UserError('samples in every dataset', f'{lengths} samples',
                            'leave out empty ones')
        if self.weights is not None:
            quotas = quotas_from_weights(lengths, self.weights)
        else:
            quotas = [n * c for n, c in zip(lengths, self.copies or [1] * len(lengths))]
        return DrawPlan(lengths, quotas, self.seed or 0, shuffle)


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seeds Python, numpy and torch (CPU) inside the block and restores them afterwards.

    Without workers the block runs in the training process, whose own randomness (dropout, model
    initialisation) must not depend on the data.

    Args:
        key: Numbers that are not negative.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    state = np.random.SeedSequence(key).generate_state(8)
    random.seed(state[:4].tobytes())
    np.random.seed(state[4:])
    torch.random.default_generator.manual_seed(int(state[:2].view(np.uint64)[0]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _check_shares(count: int, weights: Sequence[float] | None,
                  copies: Sequence[int] | None) -> None:
    if not count:
        raise UserError('at least one dataset to mix', 'none', 'fill in datasets=[...]')
    if weights is not None and copies is not None:
        raise UserError('weights or copies', 'both', 'leave one of them out')
    for name, values in (('weights', weights), ('copies', copies)):
        if values is not None and len(values) != count:
            raise UserError(f'{count} {name}, one per dataset', f'{list(values)}',
                            f'give one of {name} per dataset')
    if copies is not None and not all(isinstance(c, int) and c > 0 for c in copies):
        raise UserError('copies as positive whole numbers', f'{list(copies)}',
                        'use weights for fractions, and leave out sources not to draw from')
