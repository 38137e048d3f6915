"""A pseudo-label run from beginning to end; resumable at any time."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glipkit.apis.tasks import fingerprint
from glipkit.data.formats.captioned import open_captioned
from glipkit.errors import UserError
from glipkit.labelling.engines import (
    ACTORS,
    RangeLabeller,
    Teacher,
    caption_labeller,
    follow,
    run_ray,
)
from glipkit.labelling.settings import LabelSettings
from glipkit.labelling.shard_ranges import (
    IDENTITY,
    ShardRange,
    done_record,
    finish_run,
    plan,
)
from glipkit.runs.folder import claimed


def pseudo_label(sources: Sequence[str | Path], out: str | Path, teacher: Teacher,
                 settings: LabelSettings | None = None, images: str | Path | None = None,
                 part_size: int = 256, engine: str = 'local', workers: int | None = None,
                 address: str | None = None) -> dict[str, Any]:
    """Grounds the phrases of image-caption pairs and writes caption shards for `CaptionShards`.

    GLIP paper, section 3.3 (self-training with a teacher). The same call again resumes after a
    kill, and the files are those of an uninterrupted run.

    Args:
        sources: Shards (.jsonl, .tar), folders of shards, or folders of images with .txt files.
        out: Folder of the results: shards, ``manifest.json``, ``problems.txt``.
        teacher: Model that labels.
        settings: Thresholds and back end.
        images: Folder of the images that jsonl shards name; default: the shard's.
        part_size: Pairs per output shard; about as many are labelled again after a kill, at most.
        engine: ``'local'`` or ``'ray'``.
        workers: Threads of one core each, or actors of Ray; results do not depend on it. None takes
            as many threads as PyTorch has, or two actors.
        address: Address of a Ray cluster.

    Returns:
        The manifest.

    Raises:
        UserError: An argument cannot be used, or another process is at work in ``out``.
    """
    settings = settings or LabelSettings()
    if engine not in ('local', 'ray') or part_size < 1 or (
            workers is not None and workers < 1):
        raise UserError("engine 'local' or 'ray', part_size and workers of at least 1",
                        f'{engine!r}, {part_size}, {workers}', 'correct them')
    out = Path(os.path.abspath(out))  # a link to nothing stays one, to be refused
    shards = open_captioned([Path(source).resolve() for source in sources], images)
    ranges = plan(shards, part_size)
    if not ranges:
        raise UserError('at least one image with a caption', 'none', 'check the sources')
    # Actors may have devices that this machine lacks.
    predictor = teacher.load(None if engine == 'local' else 'cpu')
    identity = dict(
        teacher=dict(config=teacher.config, fingerprint=fingerprint(predictor.model),
                     **teacher.record()),
        settings=settings.record(),
        sources=[dict(path=str(shard.path), pairs=len(shard)) for shard in shards],
        part_size=part_size)
    with claimed(out, identity, IDENTITY):
        finished = _finished(out, ranges)
        todo = [index for index in range(len(ranges)) if index not in finished]
        if engine == 'local':
            work = RangeLabeller(predictor, settings, ranges, out, workers).label(todo)
        else:
            del predictor  # the actors load it themselves
            work = run_ray(todo, caption_labeller, (teacher, settings, ranges, out),
                           workers or ACTORS, address)
        follow(work, sum(map(len, shards)), sum(len(ranges[index].rows) for index in finished),
               'pair')
        # Only the files on the disk count, whichever process wrote them.
        finished = _finished(out, ranges)
        missing = [one.name for index, one in enumerate(ranges) if index not in finished]
        if missing:
            raise UserError(f'{len(ranges)} finished shards', f'{len(missing)} without result, '
                            f'e.g. {missing[0]}', 'run the command again')
        return finish_run(out, identity, list(finished.values()))


def _finished(out: Path, ranges: Sequence[ShardRange]) -> Mapping[int, dict[str, Any]]:
    """Index of a range that is done -> its record, in ascending order."""
    return {index: record for index, one in enumerate(ranges)
            if (record := done_record(out, one)) is not None}

