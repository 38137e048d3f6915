"""What the passes over all formats have in common: one walk that checks and cleans at once."""
from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glipkit.data.checking.boxes import BoxChecker, Size
from glipkit.data.checking.captions import CaptionChecker
from glipkit.data.checking.findings import Findings
from glipkit.data.checking.images import ImageList, Place
from glipkit.data.checking.names import ClassTable, PromptSettings
from glipkit.data.formats.box_sets.structures import DataSet
from glipkit.data.formats.reading import as_size
from glipkit.errors import UserError


@dataclass(frozen=True)
class Remedy:
    """Changes of a cleaned copy beyond single records, known after a first pass.

    Args:
        boxes_written: Form of all boxes, where it is not the form of the format.
        merged: Category id -> the id that takes its boxes.
        bad_images: Names of images that cannot be used.
    """
    boxes_written: str | None = None
    merged: Mapping[Any, Any] = field(default_factory=dict)
    bad_images: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DataFile:
    """A file to check, with the settings of its format.

    Args:
        path: The annotation file, or a folder of shards.
        images: Folder of the images; for a label table the table of images. None for what the
            file itself tells.
        label_map: JSON of label -> name for ODVG files with labels, of name -> index for label
            tables.
        sizes: Table of sizes that belongs to a label table.
        source_prefix: ``data_source`` -> folder inside ``images``, for mixed grounding files.
        score_thr: Caption shards: boxes must score more than this; None needs no scores.
        classes: The classes that training asks for; None for all.
        settings: Token limits of the model.
        quick: Whether to leave out what only takes time: keys that stand twice.
        limit: The most images to look at; None for all.
        max_records: Images after which a line format is left; None reads all of it.
        boxes: A data set in the layout of another program, which was read, and its part.
    """
    path: Path
    images: Path | None = None
    label_map: Path | None = None
    sizes: Path | None = None
    source_prefix: Mapping[str, str] | None = None
    score_thr: float | None = 0.5
    classes: tuple[str, ...] | None = None
    settings: PromptSettings = field(default_factory=PromptSettings)
    quick: bool = False
    limit: int | None = None
    max_records: int | None = None
    boxes: tuple[DataSet, str] | None = None


class Scan(ABC):
    """One pass over a file.

    Exhaust `records`, then call `finish`. What `records` yields is what a cleaned copy holds, so
    that a check and a clean copy can never disagree about a record.

    Args:
        data_file: File to check.
        findings: Collection that takes the findings.
        remedy: Changes to make; None for a check only.
    """

    layout = 'xyxy'
    """How the format writes boxes."""

    can_merge = False
    """Whether a cleaned copy can give the boxes of one class to another."""

    def __init__(self, data_file: DataFile, findings: Findings,
                 remedy: Remedy | None = None) -> None:
        self.data_file, self.findings, self.remedy = data_file, findings, remedy or Remedy()
        self.boxes = BoxChecker(findings, self.layout, self.remedy.boxes_written)
        self.captions = CaptionChecker(data_file.settings, findings)
        self.images = ImageList(data_file.limit)
        self.table: ClassTable | None = None
        self.counts: Counter[str] = Counter()
        self._files: set[str] = set()

    @abstractmethod
    def records(self) -> Iterator[Any]:
        """Checks record by record and yields each as a cleaned copy holds it."""

    def write(self, records: Iterator[Any], path: Path) -> None:
        """Writes cleaned records as a file of the same format; one JSON object a line.

        Args:
            records: Records from `records`.
            path: File to write.
        """
        with path.open('w', encoding='utf-8') as file:
            for record in records:
                file.write(dump(record) + '\n')

    def finish(self, whole: bool = True) -> None:
        """Reports what only all records together show.

        Args:
            whole: Whether the file was read to its end.
        """
        if not self.counts['images']:
            self.findings.add('no_image', str(self.data_file.path))
        else:
            self.boxes.finish(str(self.data_file.path))
        if self.table and whole:
            self.table.finish()

    def image_path(self, name: str) -> str:
        """Path of an image that the file names."""
        return str(self.data_file.images / name) if self.data_file.images else name

    def list_image(self, name: str, size: Size, where: str, place: Place | None = None) -> bool:
        """Counts an image and lists it for the check of the files.

        Args:
            name: Name in the annotation file.
            size: Size in the annotation file.
            where: Place of its record.
            place: Place of its bytes, if not a separate file in the folder of images.

        Returns:
            Whether a cleaned copy keeps it.
        """
        self.counts['images'] += 1
        if place is None and not self.data_file.quick:
            if name in self._files:
                self.findings.add('same_file', where, name)
            self._files.add(name)
        if None in size:
            self.findings.add('no_size', where, name)
        self.images.add(place or self.image_path(name), size, where, name)
        if name in self.remedy.bad_images:
            self.findings.add('bad_image', where, name)
            return False
        return True

    def size(self, record: Mapping[str, Any], where: str) -> Size:
        """Width and height of an image, None where they are missing or make no sense."""
        sides = []
        for key in ('width', 'height'):
            try:
                sides.append(as_size(record.get(key), where, key))
            except UserError:
                self.findings.add('bad_size', where, f'{key} {record.get(key)!r}')
                sides.append(None)
        return sides[0], sides[1]

    def without_bad_size(self, record: dict, size: Size) -> dict:
        """The record without sizes that make no sense."""
        bad = [key for key, side in zip(('width', 'height'), size)
               if side is None and record.get(key) is not None]
        return {key: value for key, value in record.items() if key not in bad} if bad else record

    def note_empty(self, boxes: int, where: str) -> None:
        """Counts images without a box that training can use."""
        if not boxes:
            self.findings.add('empty_image', where)


def parse(text: str | bytes, findings: Findings | None, where: str, top: tuple = ()) -> Any:
    """Parses JSON.

    Args:
        text: The JSON.
        findings: Collection that takes repeated keys; None does not look for them.
        where: The place, for the report.
        top: Keys whose values are lost with all their records if they are repeated.

    Raises:
        ValueError: No JSON; the message tells where. Nesting too deep is one as well.
    """
    def build(pairs: list[tuple[str, Any]]) -> dict:
        built = dict(pairs)
        if len(built) < len(pairs):
            keys = [key for key, _ in pairs]
            for key in built:
                if keys.count(key) > 1:
                    findings.add('repeated_list' if key in top else 'repeated_key', where, key)
        return built

    try:
        if isinstance(text, bytes):
            text = text.decode('utf-8-sig')
        return json.loads(text, object_pairs_hook=None if findings is None else build)
    except RecursionError as error:
        raise ValueError('nested too deeply') from error


def dump(record: Any) -> str:
    """JSON of a record, on one line."""
    # Escaped, for half of a surrogate pair could not be written as UTF-8.
    return json.dumps(record, ensure_ascii=True)
