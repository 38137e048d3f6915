"""Units of labelling and their results on disk: written completely, found again after a kill.

A unit is a range of pairs of one shard. Its result is a shard of its own in the output folder,
``<shard>-00003.jsonl`` (or ``.tar``), and a record ``.parts/<shard>-00003.json`` that is written
last and holds counts, problems and the result's checksum. A range whose record is there and fits
is not labelled again.
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

from glipkit.data.formats.captioned import CaptionedShard
from glipkit.data.formats.tar_shards import FileSlice
from glipkit.files import atomic, remove_unfinished, write_text
from glipkit.labelling.grounder import Labels
from glipkit.runs.results import read_record, write_record

MANIFEST = 'manifest.json'
_RECORDS = '.parts'
#: File in a run's folder that holds the settings of the run.
IDENTITY = f'{_RECORDS}/run.json'


@dataclass(frozen=True)
class ShardRange:
    """A range of pairs of one shard.

    Args:
        shard: Shard of the pairs.
        number: Number of the range in its shard, from 0.
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
        """File name of the result: tars give tars, the others lines that name image files."""
        return f'{self.name}.{"tar" if self.shard.kind == "tar" else "jsonl"}'


def plan(shards: Sequence[CaptionedShard], size: int) -> list[ShardRange]:
    """All ranges of at most ``size`` pairs, in the order of the shards."""
    return [ShardRange(shard, number, range(begin, min(begin + size, len(shard))))
            for shard in shards for number, begin in enumerate(range(0, len(shard), size))]


def write_range(out: Path, one: ShardRange, labels: Labels) -> dict[str, Any]:
    """Writes the result of a range and then its record; returns the record."""
    path = out / one.file_name
    if one.shard.kind == 'tar':
        with atomic(path) as temporary:
            _write_tar(temporary, one, labels)
    else:
        write_text(path, ''.join(json.dumps(line, ensure_ascii=False) + '\n'
                                 for _, line in labels.lines))
    counts = {key: number for key, number in sorted(labels.counts.items()) if number}
    return write_record(_record(out, one), path, dict(
        **_expected(one), lines=len(labels.lines), counts=counts,
        problems=[list(problem) for problem in labels.problems]))


def done_record(out: Path, one: ShardRange) -> dict[str, Any] | None:
    """Record of a range that is done, or None where it has to be labelled (again)."""
    return read_record(_record(out, one), out / one.file_name, _expected(one))


def _record(out: Path, one: ShardRange) -> Path:
    return out / _RECORDS / f'{one.name}.json'


def _expected(one: ShardRange) -> dict[str, Any]:
    return dict(name=one.file_name, rows=[one.rows.start, one.rows.stop])


def finish_run(out: Path, identity: dict[str, Any],
               records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Writes ``manifest.json`` and ``problems.txt`` from the records of all ranges."""
    remove_unfinished(out)  # by a worker that was killed
    counts: Counter = Counter()
    for record in records:
        counts.update(record['counts'])
    problems = [problem for record in records for problem in record['problems']]
    lines = [f'{_in_one_line(pair)}\t{_in_one_line(text)}\n' for pair, text in problems]
    write_text(out / 'problems.txt', ''.join(lines))
    manifest = dict(
        **identity, counts=dict(sorted(counts.items())), problems=len(problems),
        shards=[dict(name=record['name'], count=record['lines'], sha256=record['sha256'])
                for record in records])
    write_text(out / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + '\n')
    return manifest


def _in_one_line(text: str) -> str:
    """A name or a reason whose control characters are written as Python writes them."""
    return ''.join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _write_tar(path: Path, one: ShardRange, labels: Labels) -> None:
    """Images and annotations side by side, with nothing in it that depends on the time."""
    with tarfile.open(path, 'w', format=tarfile.PAX_FORMAT) as tar:
        for number, (row, line) in enumerate(labels.lines):
            item = one.shard[row]
            assert isinstance(item.image, FileSlice)
            stem, _, ending = item.filename.partition('.')
            # An image with two prompts stands twice: keys are unique.
            key = f'{stem}-{number:05d}'
            line = {**line, 'filename': f'{key}.{ending}'}
            for name, content in ((f'{key}.{ending}', item.image.read()),
                                  (f'{key}.json', _json_bytes(line))):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _json_bytes(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode(errors='backslashreplace')
