"""The check of one annotation file, from the first byte to the verdict."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
    """What a check found.

    Args:
        path: The file.
        format: A key of `SCANS`.
        counts: Images, captions, boxes that training uses, and boxes in the file.
        classes: In the order of labels; those that cannot be trained have no label.
        prompts: What a test asks with, exactly; for captions the first one.
        findings: What is wrong or worth knowing.
        longest_caption: In tokens, at most.
        bad_images: Names of images that cannot be used.
        remedy: What a cleaned copy has to change as a whole.
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


def check(source: DataFile, settings: CheckSettings | None = None,
          file_format: str | None = None) -> Report:
    """Checks one file and the images that it names.

    Args:
        source: What to check.
        settings: How closely to look at images.
        file_format: A key of `SCANS`; None tells it from the content.

    Raises:
        UserError: The file as a whole cannot be read.
    """
    settings = settings or CheckSettings()
    file_format = file_format or detect_format(source.path)
    findings = Findings()
    scan = SCANS[file_format](source, findings)
    whole = _exhaust(scan.records(), source.max_records, scan)
    scan.finish(whole)
    bad = check_existence(scan.images, findings)
    if settings.decode:
        bad |= check_decoding(scan.images, findings, settings.workers, settings.max_images)
    elif settings.headers:
        check_turned(scan.images, findings)
    return _report(source, file_format, scan, frozenset(bad))


def clean(source: DataFile, report: Report, out: Path) -> list[str]:
    """Writes a copy without what can be mended.

    Args:
        source: What was checked.
        report: What came of it.
        out: Where the copy goes; written as it is, so pass a temporary path.

    Returns:
        What was changed, a line per kind; what concerns the whole file first.
    """
    findings = Findings()
    scan = SCANS[report.format](source, findings, report.remedy)
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


def _report(source: DataFile, file_format: str, scan: Scan, bad: frozenset[str]) -> Report:
    table, first = scan.table, scan.captions.first
    counts = {'images': scan.counts['images'], 'captions': scan.counts['captions'],
              'boxes': scan.boxes.kept, 'boxes_in_file': scan.boxes.seen}
    merged = table.duplicates() if table and scan.can_merge else {}
    return Report(
        path=str(source.path), format=file_format, counts=counts,
        classes=list(table.rows.values()) if table else [],
        prompts=table.prompts() if table else [first] if first else [],
        findings=scan.findings, longest_caption=scan.captions.longest, bad_images=bad,
        remedy=Remedy(scan.boxes.confused(), merged, bad))
