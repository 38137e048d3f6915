"""What the teacher finds in photographs, in shards that are written once and found after a kill."""
from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from glipkit.apis.detections import Detections
from glipkit.apis.images import ImageSource, list_images
from glipkit.apis.prediction_writers import image_names
from glipkit.apis.predictor import Predictor
from glipkit.apis.side_by_side import Answer, answer_batches, batches_of
from glipkit.apis.tasks import fingerprint
from glipkit.common.digests import file_sha256
from glipkit.distil.settings import Asked, LabelPlan
from glipkit.errors import UserError
from glipkit.files import write_text
from glipkit.labelling.engines import ACTORS, Teacher, follow, run_ray
from glipkit.runs.results import read_record, write_record

#: Folder of the shards, below that of the run.
FOLDER = 'labels'


@dataclass(frozen=True)
class Photos:
    """The photographs of a run.

    Args:
        paths: Files.
        names: Their names from the folder that holds them all on, with ``/``; of ``a.jpg`` and
            ``a.png`` the second is ``a_png.png``, for programs find the labels of both in
            ``a.txt``.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]

    @classmethod
    def find(cls, folder: str | Path) -> Photos:
        """All photographs of a folder, or of a pattern.

        Raises:
            UserError: There is none, or only one.
        """
        paths = tuple(Path(os.path.abspath(one.path)) for one in list_images(folder))
        if len(paths) < 2:
            raise UserError('at least two photographs, one to learn from and one to compare on',
                            f'{len(paths)} in {folder}', 'add some')
        return cls(paths, _with_stems_of_their_own(image_names(paths)))

    def digest(self) -> str:
        """SHA-256 of names and sizes; reading all pixels would take longer than it is worth."""
        text = ''.join(f'{name} {path.stat().st_size}\n'
                       for name, path in zip(self.names, self.paths))
        return hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()


def _with_stems_of_their_own(names: Iterable[str]) -> tuple[str, ...]:
    found: dict[PurePosixPath, str] = {}
    for path in map(PurePosixPath, names):
        while path.with_suffix('') in found:
            path = path.with_stem(f'{path.stem}_{path.suffix[1:]}')
        found[path.with_suffix('')] = str(path)
    return tuple(found.values())


@dataclass(frozen=True)
class Labelled:
    """Labels of one photograph.

    Args:
        name: Its name in `Photos`.
        found: What the teacher found, one label per object.
    """

    name: str
    found: Detections


class PhotoLabeller:
    """Labels ranges of photographs and writes their shards.

    Args:
        predictor: The teacher.
        asked: What it is asked.
        plan: Threshold and sizes.
        photos: All photographs of the run.
        out: Folder of the run.
        workers: Threads of one core each; None takes as many as PyTorch has.
    """

    def __init__(self, predictor: Predictor, asked: Asked, plan: LabelPlan, photos: Photos,
                 out: Path, workers: int | None = None) -> None:
        self._predictor, self._plan = predictor, plan
        self._question = predictor.question(**asked.call(), score_threshold=plan.score)
        self._photos, self._out = photos, out
        self._workers = torch.get_num_threads() if workers is None else workers

    def label(self, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """See :class:`~glipkit.labelling.engines.Labeller`; while one range ends, the next has
        begun."""
        counts: deque[int] = deque()

        def batches() -> Iterator[Sequence[ImageSource]]:
            for index in indices:
                begin, end = self._rows(index)
                mine = batches_of(list_images(self._photos.paths[begin:end]),
                                  self._plan.batch_size)
                counts.append(len(mine))
                yield from mine

        answers = answer_batches(self._predictor, batches(), self._question, True, self._workers)
        for index in indices:
            first = next(answers)  # from here on the number of the range's batches is known
            rest = islice(answers, counts.popleft() - 1)
            yield self._write(index, [first, *rest])

    def _rows(self, index: int) -> tuple[int, int]:
        return range_of(index, self._plan.part_size, len(self._photos.paths))

    def _write(self, index: int, answers: Iterable[Answer]) -> dict[str, Any]:
        """Writes the shard of a range, and then its record; returns the record."""
        begin, end = rows = self._rows(index)
        names = dict(zip(self._photos.paths[begin:end], self._photos.names[begin:end]))
        found, problems = {}, []
        for answer in answers:
            found.update((one.path, one) for one in answer.found)
            problems += [[names[source.path], error.got] for source, error in answer.lost]
        lines = [json.dumps(_line(name, found[path]), ensure_ascii=False) + '\n'
                 for path, name in names.items() if path in found]
        path = shard_path(self._out, index)
        write_text(path, ''.join(lines))
        return write_record(record_path(self._out, index), path,
                            dict(rows=list(rows), photographs=len(found), problems=problems))


def photo_labeller(teacher: Teacher, asked: Asked, plan: LabelPlan, photos: Photos,
                   out: Path) -> PhotoLabeller:
    """A labeller that has loaded the teacher itself, for `run_ray`."""
    return PhotoLabeller(teacher.load(per_object='one'), asked, plan, photos, out)


def label_photos(teacher: Teacher, predictor: Predictor, asked: Asked, plan: LabelPlan,
                 photos: Photos, out: Path, engine: str = 'local', workers: int | None = None,
                 address: str | None = None) -> list[dict[str, Any]]:
    """Labels what is not labelled yet.

    Args:
        teacher: Teacher, for processes that load it themselves.
        predictor: The same, loaded.
        asked: What it is asked.
        plan: Threshold and sizes.
        photos: The photographs.
        out: Folder of the run.
        engine: ``'local'`` or ``'ray'``.
        workers: Threads of one core each, or actors of Ray; None takes as many threads as PyTorch
            has, or two actors.
        address: Address of a Ray cluster, see `run_ray`.

    Returns:
        The records of all ranges, in order.

    Raises:
        UserError: Ray is not there, or a range has no result.
    """
    count = -(-len(photos.paths) // plan.part_size)
    done = {index: record for index in range(count)
            if (record := _done(out, index, plan, photos)) is not None}
    todo = [index for index in range(count) if index not in done]
    if engine == 'local':
        work = PhotoLabeller(predictor, asked, plan, photos, out, workers).label(todo)
    else:
        work = run_ray(todo, photo_labeller, (teacher, asked, plan, photos, out),
                       workers or ACTORS, address)
    follow(work, len(photos.paths), sum(record['rows'][1] - record['rows'][0]
                                        for record in done.values()), 'photograph')
    # Only the files on the disk count, whichever process wrote them.
    records = [_done(out, index, plan, photos) for index in range(count)]
    missing = sum(record is None for record in records)
    if missing:
        raise UserError(f'{count} labelled shards', f'{missing} without result',
                        'run the command again')
    return records


def read_labels(out: Path, records: Sequence[Mapping[str, Any]], photos: Photos,
                classes: Sequence[str]) -> Iterator[Labelled]:
    """The labels of all photographs that could be read, in the order of the photographs."""
    path_of = dict(zip(photos.names, photos.paths))
    for index in range(len(records)):
        for line in shard_path(out, index).read_text(encoding='utf-8').splitlines():
            one = json.loads(line)
            yield Labelled(one['name'], Detections(
                boxes=np.array(one['boxes'], np.float32).reshape(-1, 4),
                scores=np.array(one['scores'], np.float32),
                labels=np.array(one['labels'], np.int64), classes=tuple(classes),
                size=tuple(one['size']), path=path_of[one['name']]))


def identity(teacher: Teacher, predictor: Predictor, asked: Asked, plan: LabelPlan,
             photos: Photos) -> dict[str, Any]:
    """What the labels of a run depend on, for its folder."""
    query = predictor.question(**asked.call()).query
    return dict(teacher=fingerprint(predictor.model), query=repr(query),
                task=None if asked.task is None else file_sha256(asked.task),
                **teacher.record(), **plan.record(), photographs=photos.digest())


def range_of(index: int, size: int, count: int) -> tuple[int, int]:
    """First photograph of a range, and the one after its last."""
    return index * size, min((index + 1) * size, count)


def shard_path(out: Path, index: int) -> Path:
    return out / FOLDER / f'{index:05d}.jsonl'


def record_path(out: Path, index: int) -> Path:
    return out / FOLDER / f'{index:05d}.json'


def _done(out: Path, index: int, plan: LabelPlan, photos: Photos) -> dict[str, Any] | None:
    rows = range_of(index, plan.part_size, len(photos.paths))
    return read_record(record_path(out, index), shard_path(out, index), dict(rows=list(rows)))


def _line(name: str, found: Detections) -> dict[str, Any]:
    """Labels as they are kept: pixels to two places, scores to four."""
    return dict(name=name, size=[int(side) for side in found.size],
                boxes=[[round(float(v), 2) for v in box] for box in found.boxes],
                scores=[round(float(v), 4) for v in found.scores],
                labels=[int(v) for v in found.labels])
