"""Checks of files with one JSON object a line: ODVG, and captions with scored regions."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from glipkit.data.checking.boxes import Size
from glipkit.data.checking.findings import Findings
from glipkit.data.checking.names import ClassTable
from glipkit.data.checking.scan import DataFile, Remedy, Scan, parse
from glipkit.data.formats.phrase_spans import find_phrase
from glipkit.errors import UserError


class GroundingScan(Scan):
    """What every line with the object 'grounding' has: a caption and regions in it."""

    score_thr: float | None = None
    """Boxes must score more than this; None where regions have no scores."""

    def grounding(self, record: Mapping, size: Size, where: str) -> dict | None:
        """Checks a caption with its regions.

        Returns:
            The object as a cleaned copy has it; None where training cannot use it.
        """
        caption = record.get('caption')
        if not self.captions.judge(caption, where):
            return None
        self.counts['captions'] += 1
        regions, boxes = [], 0
        for i, region in enumerate(self.objects(record, 'regions', where)):
            cleaned = self._region(caption, region, size, f'{where} region {i}')
            if cleaned is not None:
                regions.append(cleaned)
                boxes += len(cleaned['bbox']) if _nested(cleaned['bbox']) else 1
        self.note_empty(boxes, where)
        return {**record, 'regions': regions}

    def objects(self, parent: Mapping, key: str, where: str) -> list[dict]:
        """The objects of a list; whatever else stands there is reported."""
        value = parent.get(key, [])
        if not isinstance(value, list):
            self.findings.add('broken_record', where, f'{key}: {value!r}')
            return []
        for item in value:
            if not isinstance(item, dict):
                self.findings.add('broken_record', where, f'{key}: {item!r}')
        return [item for item in value if isinstance(item, dict)]

    def _region(self, caption: str, region: dict, size: Size, where: str) -> dict | None:
        before = self.boxes.kept
        boxes = self._boxes(region, size, where)
        spans = self._spans(caption, region, where)
        if spans is None:
            self.boxes.kept = before  # boxes without words are no use
        if boxes is None or spans is None:
            return None
        return {**region, **boxes, **spans}

    def _spans(self, caption: str, region: dict, where: str) -> dict | None:
        """The entry tokens_positive as a cleaned copy has it; None where there are no words."""
        if region.get('tokens_positive') is not None:
            spans = self.captions.spans(caption, region['tokens_positive'], where)
            if spans:
                return {'tokens_positive': spans}
            self.findings.add('no_span', where, region['tokens_positive'])
            return None
        phrase = region.get('phrase')
        parts = [phrase] if isinstance(phrase, str) else phrase
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            self.findings.add('broken_record', where, f'phrase {phrase!r}')
            return None
        if not any(find_phrase(caption, part) for part in parts):
            self.findings.add('no_phrase', where, f'{phrase!r} in {caption!r}')
            return None
        return {}

    def _boxes(self, region: dict, size: Size, where: str) -> dict | None:
        """The entries bbox and score as a cleaned copy has them; None where no box is left."""
        raw = region.get('bbox')
        nested = _nested(raw)
        judged = [self.boxes.judge(box, size, where) for box in (raw if nested else [raw])]
        scores = self._scores(region, len(judged), where)
        if scores is None:
            self.boxes.kept -= sum(box is not None for box in judged)
            return None
        kept = [i for i, box in enumerate(judged) if box is not None]
        self._count_low([scores[i] for i in kept], where)
        if judged and not kept:
            return None
        cleaned: dict[str, Any] = {'bbox': [judged[i] for i in kept] if nested else judged[0]}
        if isinstance(region.get('score'), list) and self.score_thr is not None:
            cleaned['score'] = [scores[i] for i in kept]
        return cleaned

    def _scores(self, region: dict, count: int, where: str) -> list | None:
        """One score per box; None where they make no sense."""
        if self.score_thr is None:
            return [None] * count
        value = region.get('score')
        scores = value if isinstance(value, list) else [value] * count
        if len(scores) == count and all(
                type(score) in (int, float) and 0 <= score <= 1 for score in scores):
            return scores
        self.findings.add('bad_score', where, value)
        return None

    def _count_low(self, scores: list, where: str) -> None:
        if self.score_thr is not None:
            for score in scores:
                if score <= self.score_thr:
                    self.findings.add('low_score', where, score)
                    self.boxes.kept -= 1


class OdvgScan(GroundingScan):
    """ODVG: lines with 'grounding', or with 'detection' and labels of a label map."""

    def __init__(self, data_file: DataFile, findings: Findings,
                 remedy: Remedy | None = None) -> None:
        super().__init__(data_file, findings, remedy)
        names = read_label_map(data_file.label_map) if data_file.label_map else {}
        self._known = bool(names)
        if names:
            self.table = ClassTable(names, data_file.settings, findings)
            self.table.check(data_file.label_map.name)

    def records(self) -> Iterator[dict]:
        """One cleaned line after the other."""
        for number, line in read_lines(self.data_file.path):
            where = f'line {number}'
            record = parse_line(line, where, self.findings, self.data_file.quick)
            cleaned = self._judge(record, where) if record is not None else None
            if cleaned is not None:
                yield cleaned

    def _judge(self, record: dict, where: str) -> dict | None:
        name = record.get('filename')
        kinds = [k for k in ('grounding', 'detection') if isinstance(record.get(k), dict)]
        if not isinstance(name, str) or not name or len(kinds) != 1:
            self.findings.add('broken_record', where, record)
            return None
        size = self.size(record, where)
        kept = self.list_image(name, size, where)
        judge = self.grounding if kinds[0] == 'grounding' else self._detection
        content = judge(record[kinds[0]], size, where)
        if content is None or not kept:
            return None
        return {**self.without_bad_size(record, size), kinds[0]: content}

    def _detection(self, record: Mapping, size: Size, where: str) -> dict:
        kept = []
        if not self._known:
            self.findings.add('no_label_map', where)
        for i, instance in enumerate(self.objects(record, 'instances', where)):
            place = f'{where} instance {i}'
            box = self.boxes.judge(instance.get('bbox'), size, place)
            fits = self._label_fits(instance, place)
            if box is not None and fits:
                kept.append({**instance, 'bbox': box})
                if self._known:
                    self.table.count(label_key(instance['label']))
            elif box is not None:
                self.boxes.kept -= 1
        self.note_empty(len(kept), where)
        return {**record, 'instances': kept}

    def _label_fits(self, instance: dict, where: str) -> bool:
        if not self._known:
            return True
        label, category = label_key(instance.get('label')), instance.get('category')
        row = self.table.rows.get(label)
        if row is None:
            self.findings.add('unknown_category', where, f'label {instance.get("label")!r}')
            return False
        if category is not None and category != row.name:
            self.findings.add('label_name_differs', where,
                              f'label {label} is {row.name!r}, category says {category!r}')
            return False
        return self.table.usable(label)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines of a file that are not blank, with their numbers from 1.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        with path.open('rb') as file:
            yield from ((number, line) for number, line in enumerate(file, start=1)
                        if not line.isspace())
    except OSError as error:
        raise UserError('an annotation file', f'{path}: {error.strerror}',
                        'check the path') from error


def parse_line(line: bytes, where: str, findings: Findings, quick: bool) -> dict | None:
    """The JSON object of a line; None, and a finding, where it is none."""
    try:
        record = parse(line, None if quick else findings, where)
    except ValueError as error:
        findings.add('broken_line', where, str(error))
        return None
    if not isinstance(record, dict):
        findings.add('broken_line', where, record)
        return None
    return record


def read_label_map(path: Path) -> dict[int, Any]:
    """Label -> name, in ascending order of labels.

    Raises:
        UserError: No such file, or other keys than whole numbers.
    """
    try:
        content = parse(path.read_bytes(), None, str(path))
    except (OSError, ValueError) as error:
        raise UserError('a label map json', f'{path}: {error}', 'check the file') from error
    if not isinstance(content, dict) or any(label_key(key) is None for key in content):
        raise UserError('a label map {"0": name, ...}', f'{path}: another structure',
                        'write whole numbers as keys and names as values')
    return {label_key(key): content[key] for key in sorted(content, key=label_key)}


def label_key(value: Any) -> int | None:
    """A label as a number; files write it as a number or as text."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if type(value) is int else None


def _nested(boxes: Any) -> bool:
    return isinstance(boxes, list) and all(isinstance(box, list) for box in boxes)
