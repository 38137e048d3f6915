"""A calibration as a report: numbers before and after, reliability curves, a row per class."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from glipkit.calibration.measuring import Judged
from glipkit.calibration.run import CalibrateResult
from glipkit.common.markdown import markdown_table
from glipkit.evaluation.functional.reliability import BINS, reliability
from glipkit.files import write_encoded, write_text

#: Way of choosing what is shown -> its name in tables.
WAYS = {'default': "model's own threshold", 'single': 'best single threshold',
        'by_class': 'calibrated, a threshold per class'}
SHOWN = {'f1': 'mean F1', 'precision': 'precision', 'recall': 'recall',
         'absent_per_image': 'absent classes found per image',
         'absent_per_class': 'the same per absent class'}


def write_report(result: CalibrateResult) -> Path:
    """Writes ``report.md``, ``report.json`` and ``reliability.png``; returns the first."""
    out, known = result.settings.folder, result.calibration
    plot_reliability(result.before, result.after, out / 'reliability.png')
    sections = ['# Calibration report', _overview(result), '## Scores', _scores(known.numbers),
                '![Reliability before and after](reliability.png)', '## Per class',
                _classes(result)]
    if known.notes:
        sections += ['## Notes', '\n'.join(f'- {text}' for text in known.notes)]
    write_text(out / 'report.json', json.dumps(known.json, indent=1, ensure_ascii=False) + '\n')
    write_text(out / 'report.md', '\n\n'.join(sections) + '\n')
    return out / 'report.md'


def result_lines(result: CalibrateResult) -> list[str]:
    """The result in a few lines, for the terminal."""
    numbers = result.calibration.numbers
    lines = [f'expected calibration error {numbers["ece_before"]:.3f} -> '
             f'{numbers["ece_after"]:.3f}, on images that were not fitted on']
    lines += [f'{title}: mean F1 {numbers[key]["f1"]:.3f}, precision '
              f'{numbers[key]["precision"]:.3f}, recall {numbers[key]["recall"]:.3f}, '
              f'{numbers[key]["absent_per_image"]:.2f} of absent classes per image'
              for key, title in WAYS.items()]
    return lines


def _overview(result: CalibrateResult) -> str:
    known, numbers = result.calibration, result.calibration.numbers
    return markdown_table(('', ''), [
        ('data', f'{result.settings.data.ann_file}: {numbers["images"]} images, '
                 f'{numbers["boxes"]} boxes, {numbers["classes"]} classes with boxes'),
        ('model', result.task.model), ('task', result.settings.place.name),
        ('thresholds by', known.by), ('map', known.method),
        ('labels of an object', known.per_object),
        ('detections', numbers['detections']),
        ('expected calibration error', f'{numbers["ece_before"]:.4f} before, '
                                       f'{numbers["ece_after"]:.4f} after'),
        ('measured', f'in {numbers["folds"]} parts, each with maps and thresholds of the others')])


def _scores(numbers: dict[str, Any]) -> str:
    return markdown_table(
        ('', *SHOWN.values()),
        [(title, *(f'{numbers[way][key]:.3f}' for key in SHOWN)) for way, title in WAYS.items()],
        right=range(1, len(SHOWN) + 1))


def _classes(result: CalibrateResult) -> str:
    known, numbers = result.calibration, result.calibration.numbers
    boxes = dict(zip(result.before.names, result.before.boxes.tolist()))
    rows = [(name, boxes[name],
             f'{known.thresholds[name]:.3f}' if name in known.thresholds else 'default',
             *(f'{numbers[way]["by_class"][name]:.3f}' if name in numbers[way]['by_class'] else '-'
               for way in WAYS)) for name in result.before.names]
    return markdown_table(('class', 'boxes', 'threshold', *(f'F1, {way}' for way in WAYS.values())),
                          rows, right=range(1, 6))


def plot_reliability(before: Judged, after: Judged, path: Path) -> None:
    """Draws the share of right detections over their mean score, and how many there are."""
    figure = Figure(figsize=(9, 4.6), dpi=110)
    (upper, lower) = figure.subplots(2, 2, height_ratios=(3, 1), sharex=True)
    for title, table, top, bottom in zip(('before', 'after'), (before, after), upper, lower):
        found = reliability(table.score, table.right)
        there = found.counts > 0
        top.plot((0, 1), (0, 1), color='grey', linestyle=':')
        top.plot(found.scores[there], found.right[there], marker='o')
        top.set(title=f'{title}: error {found.error:.3f}', ylabel='share that is right',
                xlim=(0, 1), ylim=(0, 1))
        bottom.bar([(place + .5) / BINS for place in range(BINS)], found.counts, width=.9 / BINS)
        bottom.set(xlabel='score', ylabel='detections', yscale='log')
        top.grid(alpha=.3)
    figure.tight_layout()
    write_encoded(path, lambda file: figure.savefig(file, format='png'))
