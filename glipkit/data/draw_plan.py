"""Which sample is drawn when: a pure function of the seed, the sources and the draw's number."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glipkit.errors import UserError

# Second entries of the seeds, so that no two kinds of draws share a stream.
_SOURCE_STREAM, _PASS_STREAM = 0, 1


class DrawPlan:
    """Order in which the samples of several sources are drawn, pass by pass, without end.

    A pass holds a fixed number of draws from every source, in random order. The samples of a
    source are drawn in shuffled rounds; a new round begins when every sample was drawn, also in
    the middle of a pass. Any part of the order is computed alone, so that resuming costs nothing.

    Args:
        lengths: Number of samples of each source.
        quotas: Draws from each source per pass.
        seed: Random seed, 0 or more.
        shuffle: Whether rounds and passes are shuffled; otherwise sources follow one another.
    """

    def __init__(self, lengths: Sequence[int], quotas: Sequence[int], seed: int,
                 shuffle: bool = True) -> None:
        self.lengths, self.quotas = tuple(lengths), tuple(quotas)
        self.offsets = np.cumsum([0, *self.lengths])
        self.pass_length = sum(self.quotas)
        self.seed, self.shuffle = seed, shuffle
        # A sampler asks for one pass many times before it asks for the next.
        self._cached_pass, self._cached_order = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, draw: int) -> int:
        """Index, among the samples of all sources in a row, of draw number ``draw``."""
        number, position = divmod(draw, self.pass_length)
        if number != self._cached_pass:
            self._cached_pass, self._cached_order = number, self.order(number)
        return int(self._cached_order[position])

    def order(self, number: int) -> np.ndarray:
        """(pass_length,) indices of pass ``number``."""
        order = np.concatenate([
            self._source_draws(source, number * quota, (number + 1) * quota)
            for source, quota in enumerate(self.quotas)
        ])
        if not self.shuffle:
            return order
        return np.random.default_rng((self.seed, _PASS_STREAM, number)).permutation(order)

    def _source_draws(self, source: int, start: int, stop: int) -> np.ndarray:
        """Draws ``start`` to ``stop`` from one source, counted from the beginning of training."""
        length = self.lengths[source]
        first = start // length
        rounds = [self._round(source, i) for i in range(first, -(-stop // length))]
        begin = start - first * length
        return np.concatenate(rounds)[begin:begin + stop - start] + self.offsets[source]

    def _round(self, source: int, number: int) -> np.ndarray:
        """All samples of a source, each once."""
        if not self.shuffle:
            return np.arange(self.lengths[source])
        rng = np.random.default_rng((self.seed, _SOURCE_STREAM, source, number))
        return rng.permutation(self.lengths[source])


def quotas_from_weights(lengths: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Draws per pass and source, in proportion to ``weights``; a pass is as long as all sources.

    Draws that rounding leaves over go to the sources with the largest fractions.

    >>> quotas_from_weights([90, 10], [1, 1])
    [50, 50]

    Raises:
        UserError: A weight that is not positive, or too small for one draw per pass.
    """
    if not all(isinstance(w, (int, float, np.number)) and np.isfinite(w) and w > 0
               for w in weights):
        raise UserError('positive weights', f'{list(weights)}',
                        'leave out sources not to draw from')
    shares = np.asarray(weights, float) / sum(weights) * sum(lengths)
    quotas = np.floor(shares).astype(int)
    largest_first = np.argsort(quotas - shares, kind='stable')
    quotas[largest_first[:sum(lengths) - quotas.sum()]] += 1
    if not quotas.all():
        raise UserError('weights that draw from every source',
                        f'{list(weights)} for {sum(lengths)} draws per pass',
                        'raise the smallest weight')
    return quotas.tolist()
