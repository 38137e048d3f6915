"""Photographs become labels, a data set and a small detector, whatever happens on the way."""
from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from glipkit.apis.build import load
from glipkit.apis.calibration import Calibration
from glipkit.apis.data_sets import AnnotatedImages, open_data
from glipkit.apis.detections import Detections
from glipkit.apis.index import shipped_weights
from glipkit.apis.tasks import fingerprint, make_task, save_task
from glipkit.cli.main import main
from glipkit.common.packages import package_file
from glipkit.distil import Asked, DistilRun, LabelPlan, Student, StudentPlan, distil
from glipkit.distil.comparison import score, shared_classes
from glipkit.distil.data_set import held_out, write_data_set
from glipkit.distil.exporting import export_student
from glipkit.distil.labels import Labelled, Photos
from glipkit.distil.report import rows
from glipkit.distil.students import PACKAGED, build_student, student_config
from glipkit.distil.tensor_form import DenseForm
from glipkit.distil.training import train_student
from glipkit.errors import UserError
from glipkit.labelling import Teacher
from glipkit.runs.folder import claim
from glipkit.text.query import Query
from glipkit.worlds import shapes

TEACHER = Teacher('glip-mini', str(shipped_weights('glip-mini')))
CLASSES = ('small red plain circle', 'large blue plain square', 'small green plain triangle',
           'large yellow plain star')
PHOTOS = 12
#: A config of mmdet that is an eighth as wide as rtmdet-tiny.
TINY_CONFIG = Path(__file__).with_name('rtmdet_tiniest.py')
TINY = StudentPlan(student=str(TINY_CONFIG), tower='own', size=64, iterations=6, batch_size=2,
                   keep_every=1, precision='float32')


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    shapes.build(folder, seed=5, num_train_det=PHOTOS, num_train_grd=0, num_val=6, image_size=96,
                 workers=1)
    return folder


def a_run(world: Path, out: Path, **changed) -> DistilRun:
    plan = dict(photos=str(world / 'images/train_det'), out=out, teacher=TEACHER,
                asked=Asked(Query.for_classes(CLASSES)), student=None,
                labels=LabelPlan(score=0.1, part_size=4, val_share=0.25))
    return DistilRun(**{**plan, **changed})


@pytest.fixture(scope='module')
def labelled(world, tmp_path_factory):
    out = tmp_path_factory.mktemp('labelled') / 'out'
    return out, distil(a_run(world, out))


def contents(folder: Path) -> dict[str, str]:
    """Path below a folder -> digest, of every file."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def test_labels_alone_are_a_data_set_that_every_command_reads(labelled):
    out, done = labelled
    parts = open_data(out / 'data').parts
    assert set(parts) == {'train', 'val'} and not done.files
    contents = {part: json.loads(one.ann_file.read_text()) for part, one in parts.items()}
    assert len(contents['train']['images']) == 9 and len(contents['val']['images']) == 3
    boxes = [a for one in contents.values() for a in one['annotations']]
    assert boxes and len(boxes) == done.data.counts['boxes']
    assert all(a['score'] >= 0.1 for a in boxes)
    for part, one in contents.items():
        assert [c['name'] for c in one['categories']] == list(CLASSES)
        assert all((parts[part].images / image['file_name']).is_file() for image in one['images'])


def test_the_same_call_again_asks_the_teacher_nothing(labelled, world, monkeypatch):
    from glipkit.apis.predictor import Predictor
    before = contents(labelled[0])
    monkeypatch.setattr(Predictor, 'detect', lambda *_, **__: pytest.fail('asked again'))
    distil(a_run(world, labelled[0]))
    assert contents(labelled[0]) == before


@pytest.mark.parametrize('workers', [1, 3])
def test_any_number_of_workers_gives_the_same_labels(labelled, world, tmp_path, workers):
    out = tmp_path / 'out'
    distil(a_run(world, out, workers=workers,
                 labels=LabelPlan(score=0.1, part_size=4, val_share=0.25, batch_size=3)))
    first, second = (contents(place / 'labels') for place in (labelled[0], out))
    assert set(first) == set(second) and len(first) == 6
    again = tmp_path / 'again'
    distil(a_run(world, again, workers=workers))
    assert contents(again / 'labels') == first


def test_a_calibrated_task_says_what_a_label_is(labelled, world, tmp_path):
    """No label of a class that needs a probability of 1; the others have the task's default."""
    model = load('glip-mini')
    task = make_task(model, dict(name='manual'), {}, dict(enumerate(CLASSES, 1)),
                     fingerprint(model), 'glip-mini')
    sure = Calibration(by='f1', method='none', thresholds={CLASSES[3]: 1.}, default=0.1)
    save_task(replace(task, calibration=sure), tmp_path / 'task.safetensors')
    done = distil(a_run(world, tmp_path / 'out', asked=Asked(task=tmp_path / 'task.safetensors'),
                        labels=LabelPlan(part_size=4)))
    wanted = labelled[1].data.counts['classes']
    assert wanted[CLASSES[3]] and done.data.counts['classes'] == {**wanted, CLASSES[3]: 0}


def test_yolo_beside_coco(labelled, world, tmp_path):
    """Another form of the same labels needs no teacher; rows are centre and size in parts."""
    import shutil
    out = tmp_path / 'out'
    shutil.copytree(labelled[0], out)
    distil(a_run(world, out, labels=LabelPlan(score=0.1, part_size=4, val_share=0.25,
                                              form='yolo')))
    coco = json.loads((out / 'data/train/coco.json').read_text())
    for image in coco['images']:
        rows = (out / 'data/train/labels' / image['file_name']).with_suffix('.txt').read_text()
        own = [a for a in coco['annotations'] if a['image_id'] == image['id']]
        assert len(rows.splitlines()) == len(own)
        for row, annotation in zip(rows.splitlines(), own):
            label, x, y, w, h = map(float, row.split())
            left, top, width, height = annotation['bbox']
            assert label == annotation['category_id'] - 1
            np.testing.assert_allclose([x, y, w, h], [(left + width / 2) / 96,
                                                      (top + height / 2) / 96, width / 96,
                                                      height / 96], atol=2e-6)
    assert "val: val/images" in (out / 'data/data.yaml').read_text()


@pytest.fixture(scope='module')
def one_thread():
    """Sums have one order, whatever other tests have set; processes of their own have it too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield dict(os.environ, OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def finished(world, tmp_path_factory, one_thread):
    """A whole run, with data of the user's own."""
    pytest.importorskip('onnxscript')
    out = tmp_path_factory.mktemp('finished') / 'out'
    test = AnnotatedImages(world / 'annotations/val.json', world / 'images/val')
    return out, distil(a_run(world, out, student=TINY, test=test))


def killed_once(command: list, mark: Path, pattern: str, env: dict[str, str]) -> None:
    """Starts a command and kills it as soon as a file is there."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=env)
    deadline = time.time() + 300
    while not list(mark.glob(pattern)):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_in_labelling_and_in_training_and_run_again(finished, world, tmp_path, monkeypatch,
                                                           one_thread):
    """SIGKILL after the first shard and after the first checkpoint: the same files and weights."""
    out, student = tmp_path / 'out', tmp_path / 'out/student'
    command = [sys.executable, '-m', 'glipkit', 'distil', world / 'images/train_det', '--classes',
               ', '.join(CLASSES), '--threshold', '0.1', '--part-size', '4', '--val-share', '0.25',
               '--student', TINY_CONFIG, '--tower', 'own', '--size', '64',
               '--iterations', TINY.iterations, '--train-batch-size', '2',
               '--checkpoint-every', '1', '--precision', 'float32', '--out', out]
    killed_once(command, out, 'labels/*.json', one_thread)
    assert not (out / 'data').exists()
    killed_once(command, out, 'student/training/iter_*.pth', one_thread)
    assert not (student / 'student.pth').exists()
    monkeypatch.setattr('glipkit.distil.run.export_student', not_exported)
    distil(a_run(world, out, student=TINY))
    for name in ('labels', 'data', 'problems.txt', 'settings.json', 'student/settings.json',
                 'student/student.py', 'student/student.pth'):
        one, other = out / name, finished[0] / name
        assert contents(one) == contents(other) if one.is_dir() else \
            one.read_bytes() == other.read_bytes(), name


def not_exported(*_):
    raise UserError('a student', 'none', 'no export here')


@pytest.mark.slow
def test_a_training_that_ended_anywhere_has_the_same_weights(labelled, tmp_path, monkeypatch):
    from mmengine.runner import Runner
    data = open_data(labelled[0] / 'data').parts['train']
    plan = replace(TINY, iterations=3)
    cfg, steps, call_hook = student_config(plan, CLASSES), [], Runner.call_hook
    whole = train_student(cfg, plan, data, tmp_path / 'whole').read_bytes()

    def ending(self, name, **kwargs):
        if name == 'after_train_iter':
            steps.append(self.iter)
            if len(steps) in (1, 3):  # before a step's checkpoint, twice
                raise KeyboardInterrupt
        return call_hook(self, name, **kwargs)

    monkeypatch.setattr(Runner, 'call_hook', ending)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_student(cfg, plan, data, tmp_path / 'ended')
    assert train_student(cfg, plan, data, tmp_path / 'ended').read_bytes() == whole
    assert steps == [0, 0, 1, 1, 2]


def test_a_training_that_was_killed_at_its_end_leaves_no_checkpoint(labelled, tmp_path):
    (tmp_path / 'training').mkdir()
    for name in ('student.pth', 'training/iter_3.pth'):
        (tmp_path / name).write_bytes(b'')
    data = open_data(labelled[0] / 'data').parts['train']
    assert train_student(None, TINY, data, tmp_path) == tmp_path / 'student.pth'
    assert not list((tmp_path / 'training').iterdir())


def test_other_labels_need_another_folder(labelled, world):
    with pytest.raises(UserError, match='other settings or data: score; pass another --out'):
        distil(a_run(world, labelled[0], labels=LabelPlan(score=0.2, part_size=4)))


def test_another_student_needs_another_name(labelled, world):
    claim(labelled[0] / 'small', dict(seed=1))
    with pytest.raises(UserError, match='iterations.* pass another --name'):
        distil(a_run(world, labelled[0], student=TINY, name='small'))


def test_a_photograph_that_cannot_be_read_loses_only_itself(world, tmp_path, capsys):
    photos = tmp_path / 'photos'
    (photos / 'b').mkdir(parents=True)
    for number, path in enumerate(sorted((world / 'images/train_det').glob('*.jpg'))[:4]):
        (photos / 'b' / f'{number}.jpg').write_bytes(path.read_bytes())
    (photos / 'a.jpg').write_bytes(b'no image')
    out = tmp_path / 'out'
    assert main(['distil', str(photos), '--classes', ', '.join(CLASSES), '--labels-only',
                 '--threshold', '0.05', '--out', str(out)]) == 0
    assert 'left out: a.jpg' in capsys.readouterr().out
    assert (out / 'problems.txt').read_text().startswith('a.jpg\t')
    names = [image['file_name'] for part in ('train', 'val') for image in
             json.loads((out / 'data' / part / 'coco.json').read_text())['images']]
    assert sorted(names) == [f'b/{number}.jpg' for number in range(4)]


@pytest.mark.parametrize('words, error', [
    (['--threshold', '2'], 'threshold'), (['--val-share', '1'], 'share'),
    (['--size', '100'], 'pass 128'), (['--student', 'yolo-99'], 'a student'),
    (['--student', 'none.py'], 'no file none.py'), (['--name', '..'], 'a name for the folder'),
    (['--name', ''], 'a name for the folder'), (['--name', 'data'], 'a name for the folder')])
def test_bad_settings_in_one_line(world, tmp_path, capsys, words, error):
    assert main(['distil', str(world / 'images/train_det'), '--classes', 'dog', '--out',
                 str(tmp_path / 'out'), *words]) == 2
    said = capsys.readouterr().err.strip()
    assert error in said and '\n' not in said and not (tmp_path / 'out').exists()


def test_nothing_asked_and_nothing_found(world, tmp_path):
    with pytest.raises(UserError, match='--classes or --task'):
        Asked()
    with pytest.raises(UserError, match='teacher finds'):
        distil(a_run(world, tmp_path / 'out', labels=LabelPlan(score=1.)))
    assert not (tmp_path / 'out/data').exists()


def test_pictures_to_compare_on_are_looked_for_before_anything_is_done(world, tmp_path):
    test = AnnotatedImages(world / 'annotations/val.json', world / 'images/train_det/..')
    with pytest.raises(UserError, match='6 missing.* check --test-images'):
        distil(a_run(world, tmp_path / 'out', test=test))
    assert not (tmp_path / 'out').exists()


def test_no_two_photographs_share_a_file_of_labels(tmp_path):
    (tmp_path / 'b').mkdir()
    for name in ('a.jpg', 'a.png', 'b/a.jpg', 'a_png.png'):
        Image.new('RGB', (8, 8)).save(tmp_path / name)
    photos = Photos.find(tmp_path)
    assert dict(zip((path.relative_to(tmp_path).as_posix() for path in photos.paths),
                    photos.names)) == {'a.jpg': 'a.jpg', 'a.png': 'a_png.png', 'b/a.jpg': 'b/a.jpg',
                                       'a_png.png': 'a_png_png.png'}


def test_held_out_names_depend_on_themselves():
    names = [f'{number}.jpg' for number in range(100)]
    out = held_out(names, 0.2)
    assert len(out) == 20 and out == held_out(names[::-1], 0.2)
    assert len(held_out(names[1:], 0.2) & out) >= 19
    assert len(held_out(['a', 'b'], 0.01)) == len(held_out(['a', 'b'], 0.99)) == 1


def found(path: Path, *labels: int) -> Labelled:
    boxes = np.array([[10, 10, 40, 30]] * len(labels), np.float32)
    return Labelled(path.name, Detections(
        boxes, np.full(len(labels), .5, np.float32), np.array(labels, np.int64), ('cat', 'dog'),
        (48, 64), path))


def test_photographs_with_too_few_labels_are_left_out(tmp_path):
    paths = []
    for number in range(6):
        paths.append(tmp_path / f'{number}.png')
        Image.new('RGB', (64, 48)).save(paths[-1])
    kept = [found(path, *([0] * (number % 3))) for number, path in enumerate(paths)]
    for least, photographs in ((0, 6), (1, 4), (2, 2)):
        data = write_data_set(kept, ('cat', 'dog'), LabelPlan(min_boxes=least), tmp_path / 'out')
        assert data.counts['photographs'] == photographs
        assert data.counts['classes'] == {'cat': 6 if least < 2 else 4, 'dog': 0}
    with pytest.raises(UserError, match='1 that can be read; add some'):
        write_data_set(kept[1:2], ('cat', 'dog'), LabelPlan(), tmp_path / 'out')
    with pytest.raises(UserError, match='0 with 3 labels or more; .*lower --min-boxes'):
        write_data_set(kept, ('cat', 'dog'), LabelPlan(min_boxes=3), tmp_path / 'out')


def test_score_counts_the_classes_that_both_have(tmp_path):
    """Two of three cats are found and the dog is not asked: recall 2/3 at full precision."""
    Image.new('RGB', (64, 48)).save(tmp_path / 'a.png')
    boxes = [[0, 0, 10, 10], [20, 0, 10, 10], [40, 0, 10, 10], [0, 30, 10, 10]]
    truth = dict(images=[dict(id=7, file_name='a.png', width=64, height=48)],
                 categories=[dict(id=3, name='dog'), dict(id=9, name='cat')],
                 annotations=[dict(id=i, image_id=7, category_id=3 if i == 4 else 9, bbox=box,
                                   area=100, iscrowd=0) for i, box in enumerate(boxes, 1)])
    (tmp_path / 'a.json').write_text(json.dumps(truth))
    data = AnnotatedImages(tmp_path / 'a.json', tmp_path)

    def finder(sources):
        for source in sources:
            corners = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
            yield Detections(corners, np.array([.9, .8], np.float32), np.array([1, 1]),
                             ('bird', 'cat'), (48, 64), source.path)

    result = score(finder, data, ('bird', 'cat'))
    assert (result.images, result.classes) == (1, 1)
    assert result.ap50 == pytest.approx(67 / 101)  # recalls 0 to 0.66 of 101
    with pytest.raises(UserError, match='boxes of bird'):
        shared_classes(data, ('bird', ))


def test_a_report_has_what_was_measured():
    sizes = {'teacher': (30., 120.), 'student': (4., 16.), 'student, ONNX': (4., 16.)}
    scores = dict(agreement=dict(ap50=-1.), seconds={'teacher': .5, 'student': .05})
    assert [list(row.values()) for row in rows(scores, sizes)] == [
        ['teacher', '', '500', '30.0', '120.0'], ['student', '-', '50', '4.0', '16.0'],
        ['student, ONNX', '', '', '4.0', '16.0']]
    own = dict(teacher=dict(ap50=.8, ap=.5), student=dict(ap50=.7, ap=.4))
    assert [(row['AP50'], row['AP']) for row in rows({**scores, **own}, sizes)] == [
        ('0.800', '0.500'), ('0.700', '0.400'), ('', '')]


@pytest.mark.slow
def test_from_photographs_to_a_student(finished, world, tmp_path):
    """The report has all three; the exported student finds what the student finds."""
    import glipkit.runtime
    out, done = finished
    assert set(done.scores) == {'agreement', 'student', 'teacher', 'seconds'}
    assert done.scores['teacher']['images'] == 6
    report = done.files['report'].read_text()
    assert all(f'| {name} |' in report for name in ('teacher', 'student', 'student, ONNX'))
    student = finding_much(Student(done.files['config'], done.files['weights']))
    exported = glipkit.runtime.load(export_student(student, tmp_path / 'much.onnx', 'much'))
    assert exported.classes == student.classes == CLASSES
    images = sorted((world / 'images/val').glob('*.jpg'))
    tall = tmp_path / 'tall.png'
    with Image.open(images[0]) as image:
        image.crop((0, 0, 48, 96)).save(tall)
    for image in (tall, *images[:2]):
        one, other = student(image, 0.1, 'all')[0], exported(image, 0.1, per_object='all')
        assert len(one) == len(other) > 5
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)


def finding_much(student: Student) -> Student:
    """Other last layers, for those of six steps find nothing."""
    head = student.model.bbox_head
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for scores, boxes in zip(head.rtm_cls, head.rtm_reg):
            scores.weight.normal_(std=5., generator=generator)
            scores.bias.fill_(-2.)
            boxes.weight.normal_(generator=generator)
            boxes.bias.fill_(1.5)
    for layer in student.model.modules():  # whose first layers let little through
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_var.fill_(.2)
    return student


def test_the_form_of_a_student_chooses_as_mmdet_does():
    """Boxes and scores of the form, suppressed by numpy, are those of the model's own predict."""
    from glipkit.runtime.rules import detections
    cfg = student_config(TINY, CLASSES)
    model = finding_much(SimpleNamespace(model=build_student(cfg, 1).eval())).model
    form = DenseForm(model, 64)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    meta = dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1., 1.))
    with torch.no_grad():
        wanted, = model.bbox_head.predict(model.extract_feat(image), [
            SimpleNamespace(metainfo=meta)])
        outputs = {name: value.numpy() for name, value in zip(form.outputs, form(image))}
    given = detections(outputs, form.rules, (0, ), (64, 64))
    assert len(given.scores) == len(wanted.scores) > 20
    np.testing.assert_allclose(given.scores, wanted.scores.numpy(), atol=1e-6)
    np.testing.assert_allclose(given.boxes, wanted.bboxes.numpy(), atol=1e-4)
    assert (given.labels == wanted.labels.numpy()).all()


@pytest.mark.skipif(package_file(PACKAGED['package'], PACKAGED['file']) is None,
                    reason='needs glipkit[photo]')
def test_a_student_begins_with_the_tower_of_the_package():
    from glipkit.checkpoints.packaged import read_packaged
    model = build_student(student_config(StudentPlan(size=64), CLASSES))
    stem = next(iter(read_packaged(**PACKAGED).values()))
    assert torch.equal(model.backbone.model.conv_stem.weight, stem)
    assert not model.backbone.model.conv_stem.weight.requires_grad
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and not any(m.training for m in norms) and model.neck.training
    samples = torch.zeros(2, 3, 64, 64)
    assert [one.shape[1] for one in model.backbone(samples)] == [40, 112, 320]
