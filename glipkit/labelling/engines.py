"""The ranges of a run are labelled in this process, or by actors of Ray Data.

Both label a range in the same way and write the same files, so that a run may be begun with one and
finished with the other.
"""
from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.apis.predictor import Predictor
from glipkit.errors import UserError
from glipkit.files import can_be_made
from glipkit.labelling.grounder import CaptionGrounder
from glipkit.labelling.settings import LabelSettings
from glipkit.labelling.shard_ranges import ShardRange, write_range


@dataclass(frozen=True)
class Teacher:
    """Arguments of `glipkit.load` with which a process loads the teacher."""

    config: str
    checkpoint: str
    device: str = 'cpu'

    def load(self, device: str | None = None) -> Predictor:
        """Loads the teacher; on another device where one is given."""
        return Predictor(self.config, self.checkpoint, device or self.device, per_object='all')


class RangeLabeller:
    """Labels ranges and writes their results.

    Args:
        predictor: The teacher.
        settings: Settings of labelling.
        ranges: All ranges of the run.
        out: Folder of the results.
    """

    def __init__(self, predictor: Predictor, settings: LabelSettings,
                 ranges: Sequence[ShardRange], out: Path) -> None:
        self._grounder = CaptionGrounder(predictor, settings)
        self._ranges, self._out = ranges, out

    def label(self, index: int) -> dict[str, Any]:
        """Labels range ``index``; returns its record."""
        one = self._ranges[index]
        return write_range(self._out, one, self._grounder.label(one.shard, one.rows))


class RayLabeller:
    """An actor of Ray Data; loads the teacher once.

    Args:
        teacher: The teacher to load.
        settings: Settings of labelling.
        ranges: All ranges of the run.
        out: Folder of the results.
    """

    def __init__(self, teacher: Teacher, settings: LabelSettings, ranges: Sequence[ShardRange],
                 out: Path) -> None:
        self._labeller = RangeLabeller(teacher.load(), settings, ranges, out)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of one index gives the record of its range, as JSON."""
        return {'record': [json.dumps(self._labeller.label(int(index)))
                           for index in batch['range']]}


def run_local(todo: Sequence[int], labeller: RangeLabeller) -> Iterator[dict[str, Any]]:
    """Records of ranges, labelled one after another in this process."""
    for index in todo:
        yield labeller.label(index)


def run_ray(todo: Sequence[int], labeller: tuple, workers: int,
            address: str | None = None) -> Iterator[dict[str, Any]]:
    """Records of ranges, labelled by actors of Ray Data, in any order.

    Every actor loads the teacher once. Ray holds ranges back until an actor is free, and gives
    those of a lost worker to a new one; a range that was half done leaves nothing behind.

    Args:
        todo: Indices of ranges.
        labeller: Arguments of `RayLabeller`.
        workers: Number of actors.
        address: Address of a cluster (``'auto'``, ``'ray://host:10001'``), where the paths of data,
            results and checkpoint mean the same as here. None starts Ray on this machine for the
            time of the run.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    if not todo:
        return
    # By default Ray Data shows its own progress and sends usage statistics.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError('the package ray', 'it is not installed',
                        "pip install 'glipkit[ray]', or use --engine local") from error
    own = not ray.is_initialized()
    if own:
        _start(ray, address)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.verbose_progress = False
        context.print_on_execution_start = False
        on_gpu = labeller[0].device.startswith('cuda')
        rows = ray.data.from_items([{'range': index} for index in todo],
                                   override_num_blocks=len(todo))
        done = rows.map_batches(
            RayLabeller, fn_constructor_args=labeller, batch_size=1, num_cpus=1,
            num_gpus=1 if on_gpu else None, compute=ray.data.ActorPoolStrategy(size=workers))
        for row in done.iter_rows():
            yield json.loads(row['record'])
    finally:
        if own:
            ray.shutdown()


def _start(ray: Any, address: str | None) -> None:
    if address is None and 'RAY_ADDRESS' not in os.environ:
        _give_token()
    try:
        ray.init(address=address, include_dashboard=False if address is None else None,
                 logging_level='ERROR', log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise UserError('a Ray cluster', f'none at {address}: {str(error).splitlines()[0]}',
                        'start one (ray start --head), or leave --address out') from error


def _give_token() -> None:
    """The secret of a cluster of our own, where no home can keep the one that Ray would make."""
    named = any(name.startswith('RAY_AUTH_') for name in os.environ)
    if not named and not can_be_made(Path.home() / '.ray'):
        os.environ['RAY_AUTH_TOKEN'] = secrets.token_hex(32)
