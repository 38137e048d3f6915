"""What a distillation reached, on one page."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from glipkit.apis.predictor import Predictor
from glipkit.common.markdown import markdown_table
from glipkit.distil.structures import Distilled, DistilRun
from glipkit.distil.student import Student
from glipkit.files import write_text

MIB = 2**20


def write_report(path: Path, run: DistilRun, done: Distilled, student: Student,
                 teacher: Predictor) -> Path:
    """Writes ``report.md``; returns its path."""
    counts = done.data.counts
    rare = sorted(counts['classes'].items(), key=lambda one: one[1])[:5]
    lines = [
        f'# {Path(run.student.student).stem}, distilled from {Path(run.teacher.config).stem}', '',
        _table(rows(done.scores, sizes(done, student, teacher))), '',
        'agreement: AP50 of the student on held-out photographs, where the labels of the teacher '
        f'count as the truth ({done.scores["agreement"]["images"]} photographs). Milliseconds: '
        f'middle of single images, in turns, on {torch.get_num_threads()} threads of this '
        'processor.', '',
        f'Labels: {counts["boxes"]} boxes in {counts["photographs"]} photographs, '
        f'{counts["empty"]} of them with none; fewest: '
        + ', '.join(f'{name} {number}' for name, number in rare) + '.', '',
        f'Training: {run.student.iterations} steps of {run.student.batch_size} images of '
        f'{run.student.size} pixels, seed {run.student.seed}.', '']
    if done.problems:
        lines += [f'{len(done.problems)} photographs could not be read: see problems.txt.', '']
    write_text(path, '\n'.join(lines))
    return path


def sizes(done: Distilled, student: Student, teacher: Predictor) -> dict[str, tuple[float, float]]:
    """Name -> (millions of weights, MiB of the file; of the teacher, of its float32 weights)."""
    weights = sum(weight.numel() for weight in teacher.model.parameters())
    found = {'teacher': (weights / 1e6, 4 * weights / MIB),
             'student': (student.parameters / 1e6, _mib(done.files['weights']))}
    if 'onnx' in done.files:
        found['student, ONNX'] = (student.parameters / 1e6, _mib(done.files['onnx']))
    return found


def _mib(path: Path) -> float:
    return path.stat().st_size / MIB


def rows(scores: Mapping[str, Any], sizes: Mapping[str, tuple[float, float]]
         ) -> list[dict[str, str]]:
    """A row of the report's table per model."""
    found = []
    for name, (millions, mib) in sizes.items():
        row = {'model': name}
        if 'teacher' in scores:  # the user has data of their own
            row |= {'AP50': _score(scores, name, 'ap50'), 'AP': _score(scores, name, 'ap')}
        agreement = {'student': scores['agreement']}
        row |= {'agreement': _score(agreement, name, 'ap50'),
                'ms': f'{1000 * scores["seconds"][name]:.0f}' if name in scores['seconds'] else '',
                'M weights': f'{millions:.1f}', 'MiB': f'{mib:.1f}'}
        found.append(row)
    return found


def _score(scores: Mapping[str, Any], name: str, key: str) -> str:
    """A score; nothing where none was measured, and '-' where there is no box to find."""
    if name not in scores:
        return ''
    return '-' if scores[name][key] < 0 else f'{scores[name][key]:.3f}'


def _table(found: list[dict[str, str]]) -> str:
    header = list(found[0])
    return markdown_table(header, [[row[key] for key in header] for row in found],
                          right=range(1, len(header)))
