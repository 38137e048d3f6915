"""One damaged set through the check and through its reader, and what must hold of both."""
from __future__ import annotations

import json
import random
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from glipkit.data.checking import CheckSettings, DataFile, Report, check, clean
from glipkit.data.checking.text_report import report_lines
from glipkit.data.formats.detect import detect_format
from glipkit.data.grounding_dataset import UnreadableImageError
from glipkit.errors import UserError
from glipkit.registry import DATASETS
from tests.fuzz.damage import count_boxes, damage
from tests.fuzz.worlds import FORMATS, World, make

PIPELINE = [dict(type='glipkit.LoadImage', imdecode_backend='pillow')]
_SUMMARIES = ('coco', 'mdetr', 'records')


@dataclass
class Outcome:
    """What came of one case.

    Args:
        done: What was damaged.
        kind: 'refused', 'dropped' or 'read'.
        exit_code: Of the check; 2 where it refused the file.
        cleaned: Exit code of a cleaned copy; None where there was none to make.
    """
    done: str
    kind: str
    exit_code: int
    cleaned: int | None


class Counts:
    """Collects what readers say of what they kept and dropped."""

    def __init__(self, monkeypatch: Any) -> None:
        self.said: list[tuple[dict, dict]] = []
        MMLogger.get_current_instance().setLevel('CRITICAL')
        for name in _SUMMARIES:
            module = __import__(f'glipkit.data.formats.{name}', fromlist=['summary'])
            monkeypatch.setattr(module, 'summary', self._note)

    def _note(self, path: Any, counts: dict, dropped: dict) -> str:
        self.said.append((dict(counts), dict(dropped)))
        return f'{path}'


def run_case(seed: int, folder: Path, counts: Counts) -> Outcome:
    """Damages one set and reads it; fails where a rule is broken.

    Args:
        seed: Draws format and damage.
        folder: An empty one.
        counts: Of what readers say.
    """
    rng = random.Random(seed)
    world = make(FORMATS[seed % len(FORMATS)])
    content, done = damage(world, rng)
    said = f'{world.kind}, seed {seed}: ' + '; '.join(done)
    _write(world, content, folder)
    with suppress(UserError):
        detect_format(folder / world.file)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        report = _check(world, folder)
        kind, seen, bad = _read(world, content, folder, report, counts, said)
        cleaned = _clean(world, folder, report, said) if report and seed % 3 == 0 else None
    if report:
        assert bad == report.bad_images & seen, (
            said, 'check and reader differ in unreadable images', bad, report.bad_images)
    return Outcome(said, kind, report.exit_code if report else 2, cleaned)


def _write(world: World, content: bytes, folder: Path) -> None:
    (folder / 'images').mkdir(parents=True)
    (folder / world.file).write_bytes(content)
    for name, extra in world.extra.items():
        (folder / name).write_bytes(extra)
    for name, image in world.images.items():
        (folder / 'images' / name).write_bytes(image)


def _source(world: World, folder: Path, file: str | None = None) -> DataFile:
    files = {key: folder / name for key, name in world.arguments.items()}
    return DataFile(folder / (file or world.file), files.get('img_file', folder / 'images'),
                  label_map=files.get('label_map_file'), sizes=files.get('hw_file'))


def _check(world: World, folder: Path) -> Report | None:
    source = _source(world, folder)
    try:
        report = check(source, CheckSettings(), world.file_format)
    except UserError:
        return None
    text = '\n'.join(report_lines(report, source.settings))
    text.encode('utf-8')
    json.dumps(report.as_dict(), allow_nan=True)
    assert all(f.count and f.examples for f in report.findings.sorted())
    return report


def _read(world: World, content: bytes, folder: Path, report: Report | None, counts: Counts,
          said: str) -> tuple[str, set[str], set[str]]:
    """Reads every sample once.

    Returns:
        The outcome, the images of all samples, and those that could not be read.
    """
    counts.said.clear()
    try:
        dataset = DATASETS.build(dict(
            type=world.reader, ann_file=world.file, data_root=str(folder),
            data_prefix=dict(img='images'), pipeline=PIPELINE, serialize_data=False,
            **world.arguments))
    except UserError as error:
        assert '\n' not in str(error).strip() or len(str(error)) < 4000
        # The check must see it too, or a training would start that cannot.
        assert report is None or report.exit_code, (said, 'the check missed', str(error))
        return 'refused', set(), set()
    assert report is not None, (said, 'the check refused what the reader reads')
    (kept, dropped), = counts.said
    _compare_counts(world, content, kept, dropped, report, said)
    seen, bad = set(), set()
    for index in range(len(dataset)):
        name = data_name(dataset, index, folder)
        seen.add(name)
        try:
            data = dataset.prepare_data(index)
            assert data['img'].ndim == 3 and data['img'].shape[2] == 3
        except UnreadableImageError as error:
            assert error.got
            bad.add(name)
    return ('dropped' if any(dropped.values()) or bad else 'read'), seen, bad


def data_name(dataset: Any, index: int, folder: Path) -> str:
    """Name of an image as a check reports it."""
    info = dataset.get_data_info(index)
    path = str(info['img_path'])
    if 'img_bytes' in info:
        value = info['img_bytes']
        if hasattr(value, 'key'):
            return f'{value.key.decode("utf-8", "replace")} (row {value.place.row + 1})'
        return path.split('ann.tar/')[1]
    return path[len(str(folder / 'images')) + 1:]


def _compare_counts(world: World, content: bytes, kept: dict, dropped: dict, report: Report,
                    said: str) -> None:
    """Boxes in = boxes out + counted drops; and the check counts what the reader keeps."""
    told = count_boxes(world, content)
    regions = dropped.get('regions whose phrase is not in the caption', 0)
    boxes = sum(number for reason, number in dropped.items()
                if reason.startswith(('boxes', 'crowd', 'degenerate')))
    if told is not None:
        out = kept['boxes'] + boxes
        fits = out + regions == told or regions and out < told
        assert fits, (said, f'{told} boxes in, {kept} out, dropped {dropped}')
    if not report.exit_code:
        assert kept['boxes'] == report.counts['boxes'], (
            said, f'the reader keeps {kept}, the check counts {report.counts}')


def _clean(world: World, folder: Path, report: Report, said: str) -> int:
    """Exit code of the check of a cleaned copy, which the reader must take if that is 0."""
    source = _source(world, folder)
    name = f'clean_{world.file}'
    changes = clean(source, report, folder / name)
    copy_source = _source(world, folder, name)
    try:
        copy = check(copy_source, CheckSettings(), world.file_format)
    except UserError as error:
        raise AssertionError((said, 'a cleaned copy cannot be read', str(error))) from error
    if not copy.exit_code:
        DATASETS.build(dict(
            type=world.reader, ann_file=name, data_root=str(folder), serialize_data=False,
            data_prefix=dict(img='images'), **world.arguments))
    else:
        left = {f.kind for f in copy.findings.errors()}
        assert left <= UNMENDABLE, (said, 'left by a cleaned copy', left, changes)
    return copy.exit_code


UNMENDABLE = {'no_image', 'no_usable_image', 'many_bad_images', 'no_class', 'same_prompt',
              'class_too_long', 'no_label_map', 'all_boxes_lost', 'no_box', 'most_sizes_differ',
              'bad_name', 'no_token', 'duplicate_name', 'same_words', 'bad_size',
              'boxes_are_xyxy', 'boxes_are_xywh', 'boxes_are_fractions', 'exif_turns'}
"""Errors that only a person can mend, in some format at least."""
