"""Settings of a distillation, which its folder remembers."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glipkit.errors import UserError
from glipkit.text.query import Query

#: Layouts in which the labels are written.
FORMATS = ('coco', 'yolo')


@dataclass(frozen=True)
class LabelPlan:
    """How photographs become a data set.

    Args:
        score: Lowest score of a label; None takes what the teacher shows: the thresholds of a
            calibrated task, or its own.
        val_share: Share of the photographs that is held out, on which student and teacher are
            compared. Which ones depends on their names alone.
        min_boxes: Photographs with fewer labels are left out. 0 keeps those in which nothing is
            found: a detector learns from them too.
        part_size: Photographs of one shard; as many are labelled again after a kill, at most.
        batch_size: Photographs that go through the teacher together.
        form: ``'coco'``, or ``'yolo'`` for that beside it.
    """

    score: float | None = None
    val_share: float = 0.1
    min_boxes: int = 0
    part_size: int = 64
    batch_size: int = 8
    form: str = 'coco'

    def __post_init__(self) -> None:
        if self.score is not None and not 0 <= self.score <= 1:
            raise UserError('a threshold from 0 to 1', repr(self.score), 'pass e.g. 0.4')
        if not 0 < self.val_share < 1:
            raise UserError('a share of held-out photographs between 0 and 1',
                            repr(self.val_share), 'pass e.g. 0.1')
        _at_least(self, min_boxes=0, part_size=1, batch_size=1)
        if self.form not in FORMATS:
            raise UserError(f'one of {", ".join(FORMATS)}', repr(self.form), 'choose one')

    def record(self) -> dict[str, Any]:
        """What the labels of a shard depend on."""
        return dict(score=self.score, part_size=self.part_size)

    def shares(self) -> dict[str, Any]:
        """What the data set depends on, besides the labels."""
        return dict(val_share=self.val_share, min_boxes=self.min_boxes, form=self.form)


@dataclass(frozen=True)
class StudentPlan:
    """What is trained, and how long.

    Args:
        student: Name of `students.STUDENTS`, or the path of a config of mmdet.
        tower: ``'auto'`` begins with a tower of ImageNet where its package is installed, ``'own'``
            with the backbone of the config, without pre-training.
        size: Longer side of the images that the student sees, in pixels; a multiple of 32.
        iterations: Steps of training.
        batch_size: Images of a step.
        rate: Highest learning rate.
        seed: Seed of order, augmentation and first weights.
        keep_every: Steps between two checkpoints; as many are done again after a kill, at most.
        precision: ``'auto'`` computes in bfloat16 where the processor is faster at it;
            ``'float32'`` never, so that weights do not depend on the processor's kind.
    """

    student: str = 'rtmdet-tiny'
    tower: str = 'auto'
    size: int = 320
    iterations: int = 3000
    batch_size: int = 8
    rate: float = 2e-3
    seed: int = 0
    keep_every: int = 100
    precision: str = 'auto'

    def __post_init__(self) -> None:
        _at_least(self, size=64, iterations=1, batch_size=2, seed=0, keep_every=1)
        if self.size % 32:
            raise UserError('a size that is a multiple of 32', str(self.size),
                            f'pass {-(-self.size // 32) * 32}')
        if not 0 < self.rate <= 1:
            raise UserError('a learning rate between 0 and 1', repr(self.rate), 'pass e.g. 0.002')
        for name, known in (('tower', ('auto', 'own')), ('precision', ('auto', 'float32'))):
            if getattr(self, name) not in known:
                raise UserError(f'{name} {" or ".join(known)}', repr(getattr(self, name)),
                                'choose one')

    def record(self) -> dict[str, Any]:
        """What the weights depend on."""
        return asdict(self)


@dataclass(frozen=True)
class Asked:
    """What the teacher is asked: the classes of a query, or those of a task.

    Args:
        query: Query of the classes; None for those of the task.
        task: Task file; None for the teacher as it is.
        negative_classes: What must not be found, besides what the query or the task says.
        exclusive: Groups of classes of which one object has one, likewise.
    """

    query: Query | None = None
    task: Path | None = None
    negative_classes: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.query is None and self.task is None:
            raise UserError('--classes or --task', 'neither', 'say what the student has to find')

    def call(self) -> dict[str, Any]:
        """Arguments of a call of the predictor that has the task."""
        return dict(classes=self.query, negative_classes=self.negative_classes,
                    exclusive=self.exclusive)


def _at_least(plan: Any, **least: int) -> None:
    for name, value in least.items():
        given = getattr(plan, name)
        if not isinstance(given, int) or given < value:
            raise UserError(f'{name} of at least {value}', repr(given), 'raise it')
