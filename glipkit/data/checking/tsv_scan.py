"""Checks of detection tables: labels, images and sizes in tsv files."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glipkit.data.checking.boxes import Size
from glipkit.data.checking.findings import Findings
from glipkit.data.checking.names import ClassTable
from glipkit.data.checking.scan import DataFile, Remedy, Scan, dump
from glipkit.data.formats.tsv import TsvRows, _read_label_map, _read_yaml
from glipkit.data.formats.tsv_table import TsvImage
from glipkit.errors import UserError


class TsvScan(Scan):
    """Label tables with boxes xyxy of named classes. Records are (key, JSON value) pairs.

    A cleaned copy is the label table alone, with as many rows: all tables of a set share them.
    """

    def __init__(self, data_file: DataFile, findings: Findings,
                 remedy: Remedy | None = None) -> None:
        super().__init__(data_file, findings, remedy)
        self.files = self._find_files()
        names, self._label_of = _read_label_map(self.files['label_map_file'])
        self.table = ClassTable(dict(enumerate(names)), data_file.settings, findings)
        self.table.check(Path(self.files['label_map_file']).name)
        self._familiar = 0

    def _find_files(self) -> dict[str, str]:
        data_file = self.data_file
        files = {'label_file': str(data_file.path)}
        if data_file.path.suffix in ('.yaml', '.yml'):
            files = _read_yaml(data_file.path)
        elif data_file.images and data_file.images.is_file():
            files['img_file'] = str(data_file.images)
        for name, path in (('label_map_file', data_file.label_map), ('hw_file', data_file.sizes)):
            if path is not None:
                files[name] = str(path)
        missing = [name for name in ('img_file', 'label_map_file') if name not in files]
        if missing:
            raise UserError('a table of images and a label map for a label table',
                            f'no {" and ".join(missing)}',
                            'pass the yaml of the set, or --images TABLE and --label-map FILE')
        return files

    def records(self) -> Iterator[tuple[bytes, Any]]:
        """One cleaned row after the other."""
        rows = TsvRows(self.files)
        used = {rows.line(row) for row in range(len(rows))}
        for row in range(len(rows.labels)):
            where = f'row {row + 1}'
            try:
                key, objects, _ = rows.labels_of(row)
            except UserError as error:
                if row in used:
                    self.findings.add('broken_line', where, error.got)
                # Rows are counted: one that cannot be read stays, without boxes.
                yield rows.labels.row(row)[0], []
                continue
            yield key, self._judge(rows, row, key, objects, where) if row in used else objects

    def finish(self, whole: bool = True) -> None:
        """Reports a label map that knows no class of the table."""
        super().finish(whole)
        if 'unlisted_class' in self.findings and not self._familiar:
            self.findings.add('foreign_label_map', self.files['label_map_file'])

    def write(self, records: Iterator[Any], path: Path) -> None:
        """Writes the label table."""
        with path.open('wb') as file:
            for key, value in records:
                file.write(key + b'\t' + dump(value).encode() + b'\n')

    def _judge(self, rows: TsvRows, row: int, key: bytes, objects: list[dict],
               where: str) -> list[dict]:
        size = self._size(rows, row, key, where)
        name = f'{key.decode("utf-8", "replace")} (row {row + 1})'
        self.list_image(name, size, where, TsvImage(rows.images.slice(row), key))
        kept, counted = [], 0
        for i, entry in enumerate(objects):
            box = self.boxes.judge(entry.get('rect'), size, f'{where} object {i}')
            if box is None:
                continue
            kept.append({**entry, 'rect': box})
            label = self._label(entry.get('class'))
            self._familiar += label is not None
            if label is None:
                self.findings.add('unlisted_class', f'{where} object {i}', entry.get('class'))
                self.boxes.kept -= 1
            else:
                self.table.count(label)
                counted += 1
        self.note_empty(counted, where)
        return kept

    def _label(self, name: Any) -> int | None:
        return self._label_of.get(name) if isinstance(name, str) else None

    def _size(self, rows: TsvRows, row: int, key: bytes, where: str) -> Size:
        try:
            return rows.size_of(row, key)
        except UserError as error:
            self.findings.add('bad_size', where, error.got)
            return None, None
