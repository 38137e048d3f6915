"""What a distillation is told, and what it made."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glipkit.apis.data_sets import AnnotatedImages
from glipkit.distil.data_set import FOLDER as DATA
from glipkit.distil.data_set import LabelledData
from glipkit.distil.labels import FOLDER as LABELS
from glipkit.distil.settings import Asked, LabelPlan, StudentPlan
from glipkit.errors import UserError
from glipkit.labelling.engines import Teacher
from glipkit.runs.folder import LOCK, SETTINGS

#: In the folder of a run: photographs that could not be read, scores of the teacher, the student.
PROBLEMS, SCORES, STUDENT = 'problems.txt', 'scores', 'student'
#: In the folder of the student, beside its own scores.
ONNX, REPORT = 'student.onnx', 'report.md'


@dataclass(frozen=True)
class DistilRun:
    """One distillation.

    Args:
        photos: Folder or pattern of the photographs.
        out: Folder of the run.
        teacher: Model that labels.
        asked: What it is asked.
        labels: How photographs become a data set.
        student: What is trained; None stops after the labels.
        test: Data of the user to compare on, with boxes by people.
        name: Folder of the student in that of the run; several may learn from the same labels.
        engine: ``'local'`` or ``'ray'``.
        workers: Threads of one core each, or actors of Ray; None takes as many threads as PyTorch
            has, or two actors.
        address: Address of a Ray cluster.
    """

    photos: str
    out: Path
    teacher: Teacher
    asked: Asked
    labels: LabelPlan = field(default_factory=LabelPlan)
    student: StudentPlan | None = field(default_factory=StudentPlan)
    test: AnnotatedImages | None = None
    name: str = STUDENT
    engine: str = 'local'
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ('local', 'ray') or (
                self.workers is not None and self.workers < 1):
            raise UserError("engine 'local' or 'ray', and workers of at least 1",
                            f'{self.engine!r}, {self.workers}', 'correct them')
        # '' and '..' are names to Path, too.
        taken = ('', '..', LABELS, DATA, SCORES, PROBLEMS, SETTINGS, LOCK)
        if Path(self.name).name != self.name or self.name in taken:
            raise UserError('a name for the folder of the student', repr(self.name),
                            f'pass e.g. {STUDENT}')


@dataclass(frozen=True)
class Distilled:
    """What a distillation made.

    Args:
        data: The labelled data set.
        problems: Photographs that could not be read, and why.
        scores: From `compare`; empty after labels alone.
        files: ``'config'``, ``'weights'``, ``'onnx'`` and ``'report'``, those that there are.
    """

    data: LabelledData
    problems: tuple[tuple[str, str], ...]
    scores: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
