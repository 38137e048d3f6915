"""From photographs without labels to a small detector; the same call again resumes."""
from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

from mmengine.config import Config

from glipkit.apis.predictor import Predictor
from glipkit.common.digests import file_sha256
from glipkit.common.reporter import note
from glipkit.data.formats.reading import read_json
from glipkit.distil.comparison import compare, runtime_finder, shared_classes
from glipkit.distil.data_set import (
    COUNTS,
    FOLDER,
    TRAIN,
    VAL,
    LabelledData,
    opened,
    write_data_set,
)
from glipkit.distil.exporting import export_student
from glipkit.distil.labels import Photos, identity, label_photos, read_labels
from glipkit.distil.report import write_report
from glipkit.distil.structures import (
    ONNX,
    PROBLEMS,
    REPORT,
    SCORES,
    Distilled,
    DistilRun,
)
from glipkit.distil.student import Student
from glipkit.distil.students import student_config
from glipkit.distil.training import CONFIG, train_student
from glipkit.errors import UserError
from glipkit.files import write_text
from glipkit.runs.folder import claim, claimed
from glipkit.tuning.data import readable


def distil(run: DistilRun) -> Distilled:
    """Labels, splits, trains, compares and exports; what is done already is not done again.

    Raises:
        UserError: Photographs, words, settings or a folder that cannot be used.
    """
    out = Path(os.path.abspath(run.out))
    photos = Photos.find(run.photos)
    task = run.asked.task
    teacher = replace(run.teacher, task=None if task is None else str(task))
    predictor = teacher.load(None if run.engine == 'local' else 'cpu', per_object='one')
    classes = predictor.question(**run.asked.call()).names
    if run.test is not None:  # hours later would be late
        readable(run.test, '--test-images')
        shared_classes(run.test, classes)
    config = None if run.student is None else student_config(run.student, classes)
    about = identity(teacher, predictor, run.asked, run.labels, photos)
    with claimed(out, about) as resumed:
        if resumed:
            note(f'resuming the run in {out}')
        records = label_photos(teacher, predictor, run.asked, run.labels, photos, out,
                               run.engine, run.workers, run.address)
        problems = tuple((name, why) for record in records for name, why in record['problems'])
        write_text(out / PROBLEMS, ''.join(f'{name}\t{why}\n' for name, why in problems))
        data = _data_set(run, photos, records, classes, out)
        if run.student is None:
            return Distilled(data, problems)
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'torch.meshgrid')  # of mmdet's points
            return _student(run, config, predictor, data, problems, out)


def _data_set(run: DistilRun, photos: Photos, records: list, classes: tuple[str, ...],
              out: Path) -> LabelledData:
    """The data set of a run, written anew where the plan is another one."""
    place = out / FOLDER / COUNTS
    if place.is_file():
        kept = read_json(place, 'counts of a data set')
        if kept.get('plan') == run.labels.shares():
            return opened(out, kept)
    return write_data_set(read_labels(out, records, photos, classes), classes, run.labels, out)


def _student(run: DistilRun, config: Config, predictor: Predictor, data: LabelledData,
             problems: tuple, out: Path) -> Distilled:
    """Trains, exports and compares; the student's folder belongs to one plan and one data set."""
    folder = out / run.name
    try:
        claim(folder, dict(**run.student.record(), classes=list(config.classes),
                           data=file_sha256(data.parts[TRAIN].ann_file)))
    except UserError as error:  # the labels need no other --out
        raise UserError(error.expected, error.got,
                        'pass another --name, or the settings of that student') from error
    weights = train_student(config, run.student, data.parts[TRAIN], folder,
                            run.teacher.device)
    student = Student(folder / CONFIG, weights)
    files = dict(config=folder / CONFIG, weights=weights)
    finders = {}
    try:
        files['onnx'] = _exported(student, folder / ONNX, run.student.student)
        finders['student, ONNX'] = runtime_finder(files['onnx'])
    except UserError as error:  # a student without ONNX is one too
        note(f'no {ONNX}: {error}')
    scores = compare(predictor, student, run.asked, data.parts[VAL], run.test, folder / SCORES,
                     out / SCORES, finders)
    done = Distilled(data, problems, scores, files)
    files['report'] = write_report(folder / REPORT, run, done, student, predictor)
    return done


def _exported(student: Student, path: Path, name: str) -> Path:
    return path if path.is_file() else export_student(student, path, name)
