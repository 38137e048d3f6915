"""Teacher and student side by side: AP, milliseconds, megabytes."""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from glipkit.apis.data_sets import AnnotatedImages
from glipkit.apis.detections import Detections
from glipkit.apis.images import ImageSource, list_images
from glipkit.apis.predictor import Predictor
from glipkit.common.digests import file_sha256
from glipkit.common.reporter import track
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.distil.settings import Asked
from glipkit.distil.student import Student
from glipkit.errors import UserError
from glipkit.evaluation.functional.coco_ap import coco_ap
from glipkit.runs.results import remembered
from glipkit.runtime import load

#: Images on which both are timed, in turns.
TIMED = 20

Finder = Callable[[Sequence[ImageSource]], Iterable[Detections]]


@dataclass(frozen=True)
class Scores:
    """COCO AP of the classes that the data and the run share.

    Args:
        images: Number of images.
        classes: Number of classes that are scored.
        ap: AP over IoU 0.50:0.05:0.95, 0 to 1.
        ap50: AP at IoU 0.50.
    """

    images: int
    classes: int
    ap: float
    ap50: float


def compare(teacher: Predictor, student: Student, asked: Asked, held_out: AnnotatedImages,
            own: AnnotatedImages | None, folder: Path, shared: Path,
            timed: Mapping[str, Finder]
            ) -> dict[str, Any]:
    """Scores of both; each is measured once in a run and remembered.

    Args:
        teacher: The teacher.
        student: The student.
        asked: What the teacher is asked.
        held_out: Photographs with labels of the teacher, none of which the student has learnt from:
            on them the student's score says how far it agrees with the teacher.
        own: Data of the user, with boxes by people.
        folder: Folder of the student's results.
        shared: Folder of the teacher's, whom all students of a run have in common.
        timed: Others to be timed beside them, by their names.

    Returns:
        ``agreement`` of the student with the teacher; ``student`` and ``teacher`` on the user's
        data, where there are any; ``seconds`` per image of both.
    """
    def found_by_student(sources: Sequence[ImageSource]) -> Iterable[Detections]:
        return student.stream(sources, 0., 'all')

    question = teacher.question(**asked.call(), score_threshold=0., per_object='all')

    def found_by_teacher(sources: Sequence[ImageSource]) -> Iterable[Detections]:
        for source in sources:
            yield from teacher.answer([source], question)

    kept: dict[str, Any] = {}

    def keep(name: str, data: AnnotatedImages, make: Callable[[], Any]) -> None:
        # Other data have other scores.
        file = f'{name}-{file_sha256(data.ann_file)[:12]}.json'
        kept[name] = remembered((shared if name == 'teacher' else folder) / file, make)

    keep('agreement', held_out,
         lambda: _score(found_by_student, held_out, student.classes, 'held out'))
    if own is not None:
        for name, finder in (('student', found_by_student), ('teacher', found_by_teacher)):
            keep(name, own, lambda n=name, f=finder: _score(f, own, student.classes, n))
    finders = dict(teacher=found_by_teacher, student=found_by_student, **timed)
    keep('seconds', held_out, lambda: _seconds(finders, held_out))
    return kept


def runtime_finder(path: Path) -> Finder:
    """What finds things by an exported student, on as many threads as torch has here."""
    model = load(path, threads=torch.get_num_threads())
    return lambda sources: [model(source.path, 0., per_object='all') for source in sources]


def _score(finder: Finder, data: AnnotatedImages, classes: Sequence[str], title: str
           ) -> dict[str, Any]:
    return asdict(score(finder, data, classes, title))


def score(finder: Finder, data: AnnotatedImages, classes: Sequence[str],
          title: str = 'scoring') -> Scores:
    """COCO AP on annotated images, over the classes of a name that both have.

    Args:
        finder: Gives detections of images, in their order, whose labels count ``classes``.
        data: Images with boxes.
        classes: Names.
        title: Title of the progress bar.

    Raises:
        UserError: The data have none of the classes.
    """
    id_of = shared_classes(data, classes)
    coco = read_coco_json(data.ann_file)
    ids = list(coco.images)
    sources = list_images([data.images / coco.images[one]['file_name'] for one in ids])
    found: list[Mapping[str, Any]] = []
    for image, one in zip(ids, track(finder(sources), title, len(sources), 'image')):
        found += [record for record in one.to_coco(
            image, [id_of.get(name, -1) for name in one.classes]) if record['category_id'] != -1]
    result = coco_ap(ids, list(id_of.values()), coco.annotations, found).overall
    return Scores(len(ids), len(id_of), result['AP'], result['AP50'])


def shared_classes(data: AnnotatedImages, classes: Sequence[str]) -> dict[str, int]:
    """Name -> category id, of the classes that data and run share.

    Raises:
        UserError: There is none.
    """
    known = read_coco_json(data.ann_file).real_classes
    found = {name: own for own, name in known.items() if name in classes}
    if not found:
        raise UserError(f'boxes of {", ".join(classes[:5])} in {data.ann_file}',
                        ', '.join(list(known.values())[:5]), 'name the classes as the data do')
    return found


def _seconds(finders: Mapping[str, Finder], data: AnnotatedImages) -> dict[str, float]:
    """Middle of the seconds that each takes for an image; they take turns, the first is dropped."""
    coco = read_coco_json(data.ann_file, need_annotations=False)
    sources = list_images([data.images / image['file_name']
                           for image in list(coco.images.values())[:TIMED + 1]])
    took: dict[str, list[float]] = {name: [] for name in finders}
    for source in sources:
        for name, finder in finders.items():
            begin = time.perf_counter()
            list(finder([source]))
            took[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values[1:] or values) for name, values in took.items()}
