"""The check of one annotation file, from the first byte to the verdict."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from glipkit.data.checking.box_set_scan import BoxSetScan
from glipkit.data.checking.coco_scan import CocoScan, LvisScan
from glipkit.data.checking.findings import Findings
from glipkit.data.checking.images import check_decoding, check_existence, check_turned
from glipkit.data.checking.line_scan import OdvgScan
from glipkit.data.checking.mdetr_scan import FlickrScan, MdetrScan
from glipkit.data.checking.names import ClassRow
from glipkit.data.checking.scan import DataFile, Remedy, Scan
from glipkit.data.checking.shard_scan import ShardScan
from glipkit.data.checking.tsv_scan import TsvScan
from glipkit.data.formats.detect import detect_format

SCANS: dict[str, type[Scan]] = {
    'coco': CocoScan,
    'lvis': LvisScan,
    'odvg': OdvgScan,
    'mdetr': MdetrScan,
    'flickr': FlickrScan,
    'caption-shards': ShardScan,
    'tsv': TsvScan,
    **dict.fromkeys(('yolo', 'voc', 'labelme', 'csv', 'datasets'), BoxSetScan),
}
"""Name of a format -> the pass over it."""


@dataclass(frozen=True)
class CheckSettings:
    """How closely to look at images.

    Args:
        decode: Whether to decode them, or only to look whether their files are there.
        max_images: The most to decode; None for all.
        workers: Number of processes that decode.
        headers: Where nothing is decoded: whether to read the first bytes, which tell size and
            EXIF tag.
    """
    decode: bool = True
    max_images: int | None = None
    workers: int = 1
    headers: bool = False


@dataclass
class Report:
    """Result of a check.

    Args:
        path: Path of the file.
        format: Key of `SCANS`.
        counts: Images, captions, boxes that training uses, and boxes in the file.
        classes: Classes in the order of labels; those that cannot be trained have no label.
        prompts: Exact prompts of a test; for captions the first one.
        findings: Errors, warnings and notes.
        longest_caption: Number of tokens of the longest caption.
        bad_images: Names of images that cannot be used.
        remedy: Changes of a cleaned copy that concern the whole file.
    """
    path: str
    format: str
    counts: dict[str, int]
    classes: list[ClassRow]
    prompts: list[str]
    findings: Findings
    longest_caption: int = 0
    bad_images: frozenset[str] = frozenset()
    remedy: Remedy = field(default_factory=Remedy)

    @property
    def exit_code(self) -> int:
        """0: training may start. 1: it would be impossible, wrong or useless."""
        return 1 if self.findings.errors() else 0

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a JSON file."""
        return {'file': self.path, 'format': self.format, 'exit_code': self.exit_code,
                'counts': self.counts, 'classes': [asdict(row) for row in self.classes],
                'prompts': self.prompts, 'longest_caption_tokens': self.longest_caption,
                'bad_images': sorted(self.bad_images), 'findings': self.findings.as_dicts()}


def check(data_file: DataFile, settings: CheckSettings | None = None,
          file_format: str | None = None) -> Report:
    """Checks one file and the images that it names.

    Args:
        data_file: File to check.
        settings: Settings for the check of images.
        file_format: Key of `SCANS`; None finds it from the content.

    Raises:
        UserError: The file as a whole cannot be read.
    """
    settings = settings or CheckSettings()
    if data_file.boxes is not None:
        file_format = data_file.boxes[0].form
    file_format = file_format or detect_format(data_file.path)
    findings = Findings()
    scan = SCANS[file_format](data_file, findings)
    whole = _exhaust(scan.records(), data_file.max_records, scan)
    scan.finish(whole)
    bad = check_existence(scan.images, findings)
    if settings.decode:
        bad |= check_decoding(scan.images, findings, settings.workers, settings.max_images)
    elif settings.headers:
        check_turned(scan.images, findings)
    return _report(data_file, file_format, scan, frozenset(bad))


def clean(data_file: DataFile, report: Report, out: Path) -> list[str]:
    """Writes a cleaned copy.

    Args:
        data_file: File that was checked.
        report: Report of that check.
        out: Path of the copy; it is not written atomically, so pass a temporary path.

    Returns:
        The changes, a line per kind; those of the whole file first.
    """
    findings = Findings()
    scan = SCANS[report.format](data_file, findings, report.remedy)
    scan.write(scan.records(), out)
    changes = []
    if report.remedy.boxes_written:
        changes.append(f'all boxes converted from {report.remedy.boxes_written}')
    for old, new in report.remedy.merged.items():
        changes.append(f'class {old} merged into class {new}')
    return changes + findings.remedies()


def _exhaust(records: Iterator[Any], limit: int | None, scan: Scan) -> bool:
    """Walks through records; False where ``limit`` ended that early."""
    return all(limit is None or scan.counts['images'] < limit for _ in records)


def _report(data_file: DataFile, file_format: str, scan: Scan, bad: frozenset[str]) -> Report:
    table, first = scan.table, scan.captions.first
    counts = {'images': scan.counts['images'], 'captions': scan.counts['captions'],
              'boxes': scan.boxes.kept, 'boxes_in_file': scan.boxes.seen}
    merged = table.duplicates() if table and scan.can_merge else {}
    return Report(
        path=str(data_file.path), format=file_format, counts=counts,
        classes=list(table.rows.values()) if table else [],
        prompts=table.prompts() if table else [first] if first else [],
        findings=scan.findings, longest_caption=scan.captions.longest, bad_images=bad,
        remedy=Remedy(scan.boxes.confused(), merged, bad))
