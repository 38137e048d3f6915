"""``glipkit calibrate`` on the command line: from annotated images to a task that is used."""
from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import read_task
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


def test_another_rule_asks_the_model_nothing_again(run, words, monkeypatch):
    assert run(*words, '--out', 'sure.safetensors').code == 0
    first = read_task('sure.safetensors').calibration
    monkeypatch.setattr(Predictor, 'answer', None)
    ran = run(*words, '--out', 'sure.safetensors', '--by', 'precision=1', '--method', 'none')
    assert ran.code == 0, ran.err
    second = read_task('sure.safetensors').calibration
    assert (first.method, second.method, second.by) == ('isotonic', 'none', 'precision=1')
