"""The sampler of mixed training sets."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from glipkit.data.mixing import MixedDataset
from glipkit.errors import UserError
from glipkit.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class DrawSampler(Sampler):
    """Endless virtual indices for `MixedDataset`; for iteration-based training.

    There is one global order of draws, whatever the number of processes: rank r of W takes draws
    r, r + W, r + 2W, ... so that the batches of all ranks together are the batch that one process
    with W times the batch size would see.

    Args:
        dataset: The training set.
        shuffle: Whether to shuffle; the order differs from pass to pass.
        seed: Taken over by a dataset that has none of its own (mmengine hands the runner's seed
            to samplers). None there too: a random one, the same on all ranks.

    Raises:
        UserError: The dataset does not take virtual indices.
    """

    def __init__(self, dataset: MixedDataset, shuffle: bool = True,
                 seed: int | None = None) -> None:
        if not isinstance(dataset, MixedDataset):
            raise UserError('a MixedDataset for DrawSampler', type(dataset).__name__,
                            "wrap the dataset: dict(type='MixedDataset', datasets=[...])")
        if dataset.seed is None:
            dataset.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        self.plan = dataset.plan(shuffle)
        self._taken = 0

    def __iter__(self) -> Iterator[int]:
        """Virtual indices of this rank, from the position that `skip` set."""
        for draw in count(self._taken * self.world_size + self.rank, self.world_size):
            yield draw * self.size + self.plan[draw]

    def __len__(self) -> int:
        """Draws of one rank in one pass, rounded up."""
        return -(-self.plan.pass_length // self.world_size)

    def skip(self, num_samples: int) -> None:
        """Starts after the first ``num_samples`` draws of this rank (mmengine's resume).

        The number is absolute, as in mmengine's ``InfiniteSampler``; the cost does not grow
        with it.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples must not be negative, got {num_samples}')
        self._taken = num_samples
