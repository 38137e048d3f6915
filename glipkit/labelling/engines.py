"""The ranges of a run are labelled in this process, or by actors of Ray Data.

Both label a range in the same way and write the same files, so that a run may be begun with one and
finished with the other. What a range holds, captions or photographs, is the labeller's affair.
"""
from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from glipkit.apis.predictor import Predictor
from glipkit.common.reporter import bar
from glipkit.errors import UserError
from glipkit.files import can_be_made
from glipkit.labelling.grounder import CaptionGrounder
from glipkit.labelling.settings import LabelSettings
from glipkit.labelling.shard_ranges import ShardRange, write_range

#: Number of Ray's actors where nobody says another.
ACTORS = 2


@dataclass(frozen=True)
class Teacher:
    """Arguments of `glipkit.Predictor` with which a process loads the teacher."""

    config: str
    checkpoint: str
    device: str = 'cpu'
    task: str | None = None
    dtype: str = 'float32'

    def load(self, device: str | None = None, per_object: str = 'all') -> Predictor:
        """Loads the teacher; where a device is given there, in float32, as all devices can."""
        return Predictor(self.config, self.checkpoint, device or self.device, task=self.task,
                         per_object=per_object, dtype='float32' if device else self.dtype)

    def record(self) -> dict[str, str]:
        """What labels depend on besides the weights: the dtype, where it is not the usual one."""
        return {} if self.dtype == 'float32' else dict(dtype=self.dtype)


class Labeller(Protocol):
    """What labels the ranges of a run."""

    def label(self, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Labels ranges and writes their results, one after another; gives their records."""


class RangeLabeller:
    """Labels ranges and writes their results.

    Args:
        predictor: The teacher.
        settings: Settings of labelling.
        ranges: All ranges of the run.
        out: Folder of the results.
        workers: Threads of one core each; None takes as many as PyTorch has.
    """

    def __init__(self, predictor: Predictor, settings: LabelSettings,
                 ranges: Sequence[ShardRange], out: Path, workers: int | None = None) -> None:
        self._grounder = CaptionGrounder(predictor, settings, workers)
        self._ranges, self._out = ranges, out

    def label(self, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """See :class:`Labeller`."""
        chosen = [self._ranges[index] for index in indices]
        found = self._grounder.label_ranges((one.shard, one.rows) for one in chosen)
        for one, labels in zip(chosen, found):
            yield write_range(self._out, one, labels)


def caption_labeller(teacher: Teacher, settings: LabelSettings, ranges: Sequence[ShardRange],
                     out: Path) -> RangeLabeller:
    """A labeller of captions that has loaded the teacher itself, for `run_ray`."""
    return RangeLabeller(teacher.load(), settings, ranges, out)


class RayLabeller:
    """An actor of Ray Data; makes its labeller once.

    Args:
        make: Makes the labeller, which loads the teacher.
        arguments: Of ``make``.
    """

    def __init__(self, make: Callable[..., Labeller], arguments: tuple) -> None:
        self._labeller = make(*arguments)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of one index gives the record of its range, as JSON."""
        return {'record': [json.dumps(record)
                           for record in self._labeller.label(batch['range'].tolist())]}


def run_ray(todo: Sequence[int], make: Callable[..., Labeller], arguments: tuple, workers: int,
            address: str | None = None) -> Iterator[dict[str, Any]]:
    """Records of ranges, labelled by actors of Ray Data, in any order.

    Every actor loads the teacher once. Ray holds ranges back until an actor is free, and gives
    those of a lost worker to a new one; a range that was half done leaves nothing behind.

    Args:
        todo: Indices of ranges.
        make: Function of a module that makes a labeller in each actor.
        arguments: Its arguments, the `Teacher` first.
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
        on_gpu = arguments[0].device.startswith('cuda')
        rows = ray.data.from_items([{'range': index} for index in todo],
                                   override_num_blocks=len(todo))
        done = rows.map_batches(
            RayLabeller, fn_constructor_args=(make, arguments), batch_size=1, num_cpus=1,
            num_gpus=1 if on_gpu else None, compute=ray.data.ActorPoolStrategy(size=workers))
        for row in done.iter_rows():
            yield json.loads(row['record'])
    finally:
        if own:
            ray.shutdown()


def follow(work: Iterator[dict[str, Any]], total: int, done: int, unit: str) -> None:
    """Does the work, and shows how much of all is labelled.

    Args:
        work: Records of ranges, each with its ``rows`` [begin, end).
        total: Number of rows of all ranges.
        done: Number of those that were labelled before.
        unit: What a row is.
    """
    with bar('labelling', total, unit, done) as shown:
        for record in work:
            begin, end = record['rows']
            shown.update(end - begin)


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
