"""A pseudo-label run from beginning to end; resumable at any time."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from glipkit.apis.build import load
from glipkit.apis.tasks import fingerprint
from glipkit.data.formats.captioned import open_captioned
from glipkit.errors import UserError
from glipkit.labelling.engines import Teacher, run_local, run_ray
from glipkit.labelling.parts import begin_run, done_record, finish_run, plan
from glipkit.labelling.settings import LabelSettings


def pseudo_label(sources: Sequence[str | Path], out: str | Path, teacher: Teacher,
                 settings: LabelSettings | None = None, images: str | Path | None = None,
                 part_size: int = 256, engine: str = 'local', workers: int = 2,
                 address: str | None = None,
                 progress: Callable[[int, int], Any] | None = None) -> dict[str, Any]:
    """Grounds the phrases of image-caption pairs and writes caption shards for `CaptionShards`.

    GLIP paper, section 3.3 (self-training with a teacher). Run again with the same arguments
    after a kill, it does only what is left, and the files are those of an uninterrupted run.

    Args:
        sources: Shards (.jsonl, .tar), folders of shards, or folders of images with .txt files.
        out: Folder of the results: shards, ``manifest.json``, ``problems.txt``.
        teacher: The model that labels.
        settings: Thresholds and back end.
        images: Folder of the images that jsonl shards name; default: the shard's.
        part_size: Pairs per output shard; what a kill can cost.
        engine: ``'local'`` or ``'ray'``.
        workers: Actors of Ray.
        address: Of a Ray cluster.
        progress: Called with (pairs done by now, all pairs).

    Returns:
        The manifest.

    Raises:
        UserError: Something of the above cannot be used.
    """
    settings = settings or LabelSettings()
    if engine not in ('local', 'ray') or part_size < 1 or workers < 1:
        raise UserError("engine 'local' or 'ray', part_size and workers of at least 1",
                        f'{engine!r}, {part_size}, {workers}', 'correct them')
    out = Path(out).resolve()
    shards = open_captioned([Path(source).resolve() for source in sources], images)
    parts = plan(shards, part_size)
    if not parts:
        raise UserError('at least one image with a caption', 'none', 'check the sources')
    identity = dict(
        teacher=dict(config=teacher.config, fingerprint=_teacher_mark(teacher)),
        settings=settings.record(),
        sources=[dict(path=str(shard.path), pairs=len(shard)) for shard in shards],
        part_size=part_size)
    begin_run(out, identity)
    records = {i: record for i, part in enumerate(parts)
               if (record := done_record(out, part)) is not None}
    total, done = sum(map(len, shards)), sum(len(parts[i].rows) for i in records)
    todo = [i for i in range(len(parts)) if i not in records]
    labeller = (teacher, settings, parts, out)
    work = run_local(todo, labeller) if engine == 'local' else run_ray(
        todo, labeller, workers, address)
    if progress:
        progress(done, total)
    for record in work:
        done += record['rows'][1] - record['rows'][0]
        if progress:
            progress(done, total)
    # What counts is what lies on the disk, whoever wrote it.
    finished = [done_record(out, part) for part in parts]
    missing = [part.name for part, record in zip(parts, finished) if record is None]
    if missing:
        raise UserError(f'{len(parts)} finished parts', f'{len(missing)} without result, '
                        f'e.g. {missing[0]}', 'run the command again')
    return finish_run(out, identity, finished)


def _teacher_mark(teacher: Teacher) -> str:
    return fingerprint(load(teacher.config, teacher.checkpoint))
