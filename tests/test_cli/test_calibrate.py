"""``glipkit calibrate`` on the command line: from annotated images to a task that is used."""
from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import Task, read_task, save_task
from glipkit.calibration import detections
from glipkit.testing.tiny_glip import picture


@pytest.fixture
def annotated(files, tmp_path):
    """A COCO json whose boxes are what the model finds first, one in each of six images."""
    folder = tmp_path / 'val'
    folder.mkdir()
    paths = [folder / f'{seed}.png' for seed in range(6)]
    for seed, path in enumerate(paths):
        Image.fromarray(picture(seed)[..., ::-1]).save(path)
    found = Predictor(files.config, files.checkpoint, score_threshold=0.)(paths, ['dog', 'cat'])
    content = dict(
        images=[dict(id=i, file_name=path.name, height=one.size[0], width=one.size[1])
                for i, (path, one) in enumerate(zip(paths, found), 1)],
        categories=[dict(id=7, name='dog'), dict(id=9, name='cat'), dict(id=11, name='bird')],
        annotations=[dict(id=i, image_id=i, category_id=(7, 9)[one.labels[0]], iscrowd=0,
                          bbox=[*map(float, one.boxes[0, :2]),
                                *map(float, one.boxes[0, 2:] - one.boxes[0, :2])])
                     for i, one in enumerate(found, 1)])
    (tmp_path / 'val.json').write_text(json.dumps(content))
    return tmp_path / 'val.json'


@pytest.fixture
def words(files, annotated):
    return ('calibrate', annotated, '--images', annotated.with_suffix(''), '--model', files.config,
            '--checkpoint', files.checkpoint, '--device', 'cpu')


@pytest.mark.slow
def test_a_calibrated_task_is_used_by_default(run, files, words, annotated):
    ran = run(*words, '--out', 'sure.safetensors')
    assert ran.code == 0, ran.err
    assert 'expected calibration error' in ran.out
    assert 'no box to find' in ran.out and 'bird' in ran.out
    known = read_task('sure.safetensors').calibration
    assert set(known.thresholds) <= {'dog', 'cat'} and known.by == 'f1'
    assert sorted(json.loads(open('sure-calibration/report.json').read()))[0] == 'by'

    image = annotated.with_suffix('') / '0.png'
    raw = Predictor(files.config, files.checkpoint, score_threshold=0., per_object='all')(
        image, ['dog', 'cat', 'bird'])[0]
    found = Predictor(files.config, files.checkpoint, task='sure.safetensors')(image)[0]
    probabilities = known.probabilities(raw.scores, raw.labels, raw.classes)
    assert set(found.scores.tolist()) <= set(probabilities.tolist())
    limits = known.limits(found.classes).astype(np.float32)
    assert (found.scores >= limits[found.labels]).all()
    # What a caller says counts instead, and means a probability.
    asked = Predictor(files.config, files.checkpoint, task='sure.safetensors')(
        image, score_threshold=0.)[0]
    assert len(asked) >= len(found) and asked.category_ids == (7, 9, 11)


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on(run, words, annotated, monkeypatch):
    monkeypatch.setattr(detections, 'PART', 2)
    answer, asked = Predictor.answer, []

    def counted(self, sources, question, skip=None):
        asked.append(str(sources[0]))
        if len(asked) == 5:
            raise KeyboardInterrupt
        return answer(self, sources, question, skip)

    monkeypatch.setattr(Predictor, 'answer', counted)
    ran = run(*words, '--out', 'sure.safetensors')
    assert ran.code == 130 and 'the same command resumes' in ran.err
    parts = sorted(Path('sure-calibration/detections').iterdir())
    parts[1].write_text(parts[1].read_text()[:20])  # as a power cut leaves it
    assert len(parts) == 2 and not Path('sure.safetensors').exists()
    (annotated.with_suffix('') / '5.png').write_bytes(b'no image')
    ran = run(*words, '--out', 'sure.safetensors')
    assert ran.code == 0, ran.err
    assert [Path(one).stem for one in asked[5:]] == ['2', '3', '4', '5']
    assert '1 of 6 images cannot be read and are left out' in ran.out
    first = Path('sure.safetensors').read_bytes()
    assert run(*words, '--out', 'sure.safetensors').code == 0
    assert Path('sure.safetensors').read_bytes() == first


@pytest.mark.parametrize('more, message', [
    (('--by', 'recall=1'), 'expected f1, precision=0.9'),
    (('--out', 'a.json'), 'ends in .safetensors'),
    (('--classes', 'zebra'), r'annotations of a class that is asked for \(zebra\)'),
    (('--exclusive', 'dog, cat'), '--classes with --negative-classes and --exclusive')])
def test_what_cannot_be_used(refuse, words, more, message):
    assert re.search(message, refuse(*words, '--out', 'b.safetensors', *more))


def test_no_place_to_write(refuse, words):
    assert 'a file to write (--out), or a task file' in refuse(*words)
    assert 'for a task that is no file here' in refuse(*words, '--task', 'anna/fish')


def test_one_image_and_a_file_that_is_no_task(refuse, words, annotated):
    content = json.loads(annotated.read_text())
    annotated.write_text(json.dumps({**content, 'annotations': content['annotations'][:1]}))
    assert re.search('at least 2 images with boxes .*got 1 in',
                     refuse(*words, '--out', 'b.safetensors'))
    other = annotated.with_name('other.safetensors')
    other.write_text('mine')
    assert 'expected a task file' in refuse(*words, '--out', other)
    assert other.read_text() == 'mine'


@pytest.mark.slow
def test_another_rule_asks_the_model_nothing_again(run, words, monkeypatch):
    assert run(*words, '--out', 'sure.safetensors').code == 0
    first = read_task('sure.safetensors').calibration
    monkeypatch.setattr(Predictor, 'answer', None)
    ran = run(*words, '--out', 'sure.safetensors', '--by', 'precision=1', '--method', 'none')
    assert ran.code == 0, ran.err
    second = read_task('sure.safetensors').calibration
    assert (first.method, second.method, second.by) == ('isotonic', 'none', 'precision=1')


def test_a_task_of_another_model_is_named(refuse, words, annotated):
    ids, names = zip(*((one['id'], one['name'])
                       for one in json.loads(annotated.read_text())['categories']))
    save_task(Task(dict(name='manual'), names, ids, ('. '.join(names), ), (tuple(
        ((0, 1), ) for _ in names), ), '0' * 64, 'other', {}), 'other.safetensors')
    assert 'got other.safetensors, a task of other' in refuse(
        *words, '--task', 'other.safetensors', '--out', 'b.safetensors')
