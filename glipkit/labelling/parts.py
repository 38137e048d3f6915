"""Units of work and their results on disk: written whole, found again after a kill.

A part is a range of pairs of one shard. Its result is a shard of its own in the output folder,
``<shard>-00003.jsonl`` (or ``.tar``), and a record ``.parts/<shard>-00003.json`` that is written
last and holds counts, problems and the result's checksum. A part whose record is there and fits
is not done again.
"""
from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.common.digests import file_sha256
from glipkit.data.formats.captioned import CaptionedShard
from glipkit.data.formats.tar_shards import FileSlice
from glipkit.errors import UserError
from glipkit.files import atomic, make_folder, write_text
from glipkit.labelling.grounder import Labels

MANIFEST = 'manifest.json'
_RECORDS = '.parts'


@dataclass(frozen=True)
class Part:
    """A range of pairs of one shard.

    Args:
        shard: Where the pairs are.
        number: Of the part in its shard, from 0.
        rows: Positions in the shard.
    """

    shard: CaptionedShard
    number: int
    rows: range

    @property
    def name(self) -> str:
        """Stem of the result's files."""
        return f'{self.shard.path.stem}-{self.number:05d}'

    @property
    def file_name(self) -> str:
        """Of the result: tars give tars, the others lines that name image files."""
        return f'{self.name}.{"tar" if self.shard.kind == "tar" else "jsonl"}'


def plan(shards: Sequence[CaptionedShard], part_size: int) -> list[Part]:
    """All parts, in the order of the shards."""
    return [Part(shard, number, range(begin, min(begin + part_size, len(shard))))
            for shard in shards
            for number, begin in enumerate(range(0, len(shard), part_size))]


def write_part(out: Path, part: Part, labels: Labels) -> dict[str, Any]:
    """Writes a part's result and then its record; returns the record."""
    path = out / part.file_name
    with atomic(path) as temporary:
        if part.shard.kind == 'tar':
            _write_tar(temporary, part, labels)
        else:
            lines = [json.dumps(line, ensure_ascii=False) + '\n' for _, line in labels.lines]
            temporary.write_text(''.join(lines), encoding='utf-8')
    record = dict(
        name=part.file_name, rows=[part.rows.start, part.rows.stop], sha256=file_sha256(path),
        lines=len(labels.lines), counts={key: n for key, n in sorted(labels.counts.items()) if n},
        problems=[list(problem) for problem in labels.problems])
    write_text(out / _RECORDS / f'{part.name}.json', json.dumps(record, ensure_ascii=False) + '\n')
    return record


def done_record(out: Path, part: Part) -> dict[str, Any] | None:
    """Record of a part that is done, or None where it has to be done (again)."""
    try:
        record = json.loads((out / _RECORDS / f'{part.name}.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    fits = record.get('rows') == [part.rows.start, part.rows.stop]
    path = out / part.file_name
    return record if fits and path.is_file() and file_sha256(path) == record['sha256'] else None


def begin_run(out: Path, identity: dict[str, Any]) -> None:
    """Makes the output folder, or checks that what is in it comes from the same run.

    Args:
        out: The folder.
        identity: Teacher, settings and sources; what the results depend on.

    Raises:
        UserError: The folder holds something else, or results of other settings.
    """
    path = out / _RECORDS / 'run.json'
    if path.is_file():
        before = json.loads(path.read_text(encoding='utf-8'))
        if before != identity:
            differing = sorted(k for k in {*before, *identity} if before.get(k) != identity.get(k))
            raise UserError(f'the teacher, settings and sources that {out} was begun with',
                            f'another {", ".join(differing)}',
                            'go on with the same ones, or choose another --out')
        return
    if out.is_dir() and any(out.iterdir()):
        raise UserError('an empty folder, or one that this command began', f'{out} with files',
                        'choose another --out')
    make_folder(out / _RECORDS)
    write_text(path, json.dumps(identity, indent=1) + '\n')


def finish_run(out: Path, identity: dict[str, Any],
               records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Writes ``manifest.json`` and ``problems.txt`` from the records of all parts."""
    counts: Counter = Counter()
    for record in records:
        counts.update(record['counts'])
        for half_written in (*out.glob(f'.{record["name"]}.*'),
                             *(out / _RECORDS).glob(f'.{Path(record["name"]).stem}.json.*')):
            half_written.unlink()  # by a process that was killed
    problems = [problem for record in records for problem in record['problems']]
    lines = [f'{pair}\t{text}\n' for pair, text in problems]
    write_text(out / 'problems.txt', ''.join(lines))
    manifest = dict(
        **identity, counts=dict(sorted(counts.items())), problems=len(problems),
        shards=[dict(name=record['name'], count=record['lines'], sha256=record['sha256'])
                for record in records])
    write_text(out / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + '\n')
    return manifest


def _write_tar(path: Path, part: Part, labels: Labels) -> None:
    """Images and annotations side by side, with nothing in it that depends on the time."""
    with tarfile.open(path, 'w', format=tarfile.PAX_FORMAT) as tar:
        for number, (row, line) in enumerate(labels.lines):
            item = part.shard[row]
            assert isinstance(item.image, FileSlice)
            stem, _, ending = item.filename.partition('.')
            # An image with two prompts stands twice: keys are unique.
            key = f'{stem}-{number:05d}'
            line = {**line, 'filename': f'{key}.{ending}'}
            for name, content in ((f'{key}.{ending}', item.image.read()),
                                  (f'{key}.json', json.dumps(line, ensure_ascii=False).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
