"""Checks of caption shards: jsonl files, tar files, and folders of them."""
from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from glipkit.data.checking.findings import Findings
from glipkit.data.checking.line_scan import GroundingScan, parse_line, read_lines
from glipkit.data.checking.scan import DataFile, Remedy, dump
from glipkit.data.formats.caption_shards import find_shards
from glipkit.data.formats.tar_shards import (
    DOTTED,
    IMAGE_ENDINGS,
    FileSlice,
    is_dotted,
    split_name,
)
from glipkit.errors import UserError

_BLOCK = 512


class Member(NamedTuple):
    """A file inside a tar.

    Args:
        name: Name with its folders.
        offset: First byte of its content.
        size: Size in bytes.
    """
    name: str
    offset: int
    size: int


class ShardScan(GroundingScan):
    """ODVG grounding lines with scores; images beside them, or in the same tar.

    Records are (json, image member or None) pairs.
    """

    def __init__(self, data_file: DataFile, findings: Findings,
                 remedy: Remedy | None = None) -> None:
        super().__init__(data_file, findings, remedy)
        self.score_thr = data_file.score_thr
        self._current = data_file.path

    def records(self) -> Iterator[tuple[dict, Member | None]]:
        """One cleaned sample after the other."""
        paths, counts = find_shards(self.data_file.path)
        for i, path in enumerate(paths):
            before = self.counts['samples']
            self._current = path
            yield from self._of_tar(path) if path.suffix == '.tar' else self._of_lines(path)
            found = self.counts['samples'] - before
            if counts is not None and found != counts[i]:
                self.findings.add('wrong_count', path.name, f'{found}, manifest: {counts[i]}')

    def write(self, records: Iterator[Any], path: Path) -> None:
        """Writes a shard of the same kind."""
        if self.data_file.path.suffix not in ('.tar', '.jsonl'):
            raise UserError('a single shard to clean', f'{self.data_file.path}',
                            'clean one shard after the other, then write a new manifest')
        if self.data_file.path.suffix == '.jsonl':
            super().write((record for record, _ in records), path)
            return
        with tarfile.open(path, 'w') as tar, self.data_file.path.open('rb') as original:
            for record, member in records:
                original.seek(member.offset)
                _add(tar, member.name, original.read(member.size))
                _add(tar, f'{split_name(member.name)[0]}.json', dump(record).encode())

    def _of_lines(self, path: Path) -> Iterator[tuple[dict, None]]:
        for number, line in read_lines(path):
            self.counts['samples'] += 1
            where = f'{path.name} line {number}'
            record = parse_line(line, where, self.findings, self.data_file.quick)
            cleaned = self._judge(record, where, None) if record is not None else None
            if cleaned is not None:
                yield cleaned, None

    def _of_tar(self, path: Path) -> Iterator[tuple[dict, Member]]:
        for key, json_member, image in self._samples(path):
            self.counts['samples'] += 1
            where = f'{path.name}/{key}.json'
            with path.open('rb') as file:
                file.seek(json_member.offset)
                text = file.read(json_member.size)
            record = parse_line(text, where, self.findings, self.data_file.quick)
            cleaned = self._judge(record, where, image) if record is not None else None
            if cleaned is not None:
                yield cleaned, image

    def _judge(self, record: dict, where: str, image: Member | None) -> dict | None:
        name = image.name if image else record.get('filename')
        grounding = record.get('grounding')
        if not isinstance(name, str) or not name or not isinstance(grounding, dict):
            self.findings.add('broken_record', where, record)
            return None
        place = image and FileSlice(str(self._current), image.offset, image.offset + image.size)
        size = self.size(record, where)
        kept = self.list_image(name, size, where, place)
        content = self.grounding(grounding, size, where)
        if content is None or not kept:
            return None
        return {**self.without_bad_size(record, size), 'grounding': content}

    def _samples(self, path: Path) -> list[tuple[str, Member, Member]]:
        """Key, json and image of every whole sample of a tar."""
        members: dict[str, list[tuple[str, Member]]] = {}
        dotted: dict[str, str] = {}
        for member in self._members(path):
            key, ending = split_name(member.name)
            kind = 'image' if ending in IMAGE_ENDINGS else ending
            if kind in ('image', 'json'):
                members.setdefault(key, []).append((kind, member))
            elif is_dotted(ending):
                dotted.setdefault(key, member.name)
        for key in dotted.keys() - members.keys():
            self.findings.add('half_sample', path.name, f'{dotted[key]}: {DOTTED}')
        whole = []
        for key, parts in members.items():
            kinds = Counter(kind for kind, _ in parts)
            if kinds != {'image': 1, 'json': 1}:
                self.findings.add('half_sample', path.name, f'{key}: {dict(kinds)}')
                continue
            by_kind = dict(parts)
            whole.append((key, by_kind['json'], by_kind['image']))
        return whole

    def _members(self, path: Path) -> Iterator[Member]:
        try:
            size = path.stat().st_size
            with tarfile.open(path, 'r:') as tar:
                for member in tar:
                    tar.members = []  # tarfile would keep them all
                    if member.offset_data + member.size > size:
                        break
                    if member.isfile():
                        yield Member(member.name, member.offset_data, member.size)
                end = tar.offset
        except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
            self.findings.add('cut_shard', path.name, str(error))
            return
        with path.open('rb') as file:
            file.seek(end)
            block = file.read(_BLOCK)
        if len(block) < _BLOCK or block.strip(b'\0'):
            self.findings.add('cut_shard', path.name, 'its end marker is missing')


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
