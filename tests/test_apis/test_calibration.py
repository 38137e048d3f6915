"""A calibration where detections are collected, in task files and in exported models."""
from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from glipkit.apis.arguments import Shown
from glipkit.apis.calibration import Calibration
from glipkit.apis.detections import Detections
from glipkit.apis.tasks import Task, read_task, save_task
from glipkit.common.score_maps import ScoreMap
from glipkit.errors import UserError
from glipkit.runtime import model
from glipkit.runtime.description import Description
from glipkit.runtime.rules import Found

#: A dog of 0.8 comes to 0.5: logit(0.8) is log(4).
KNOWN = Calibration('f1', 'isotonic', {'cat': .3, 'dog': .6}, .45, ScoreMap(),
                    {'dog': -float(np.log(4))},
                    numbers=dict(ece_before=.2), notes=('a note', ))
BOX, OTHER = [0, 0, 10, 10], [50, 50, 60, 60]


def found(*rows):
    boxes, scores, labels = zip(*rows)
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels),
                      ('cat', 'dog', 'cow'), (100, 100))


def names_and_scores(detections):
    return [(one.name, round(one.score, 3)) for one in detections]


def test_probabilities_then_one_label_per_object_then_the_class_s_threshold():
    # The dog of 0.8 is a probability of 0.5: the cat of 0.6 on the same object is better.
    seen = found((BOX, .8, 1), (BOX, .6, 0), (OTHER, 36 / 37, 1), (OTHER, .2, 0))
    shown = Shown(.3, 'one', KNOWN, by_class=True).choose(seen)
    assert names_and_scores(shown) == [('dog', .9), ('cat', .6)]
    assert names_and_scores(Shown(.1, 'all', KNOWN).choose(seen)) == [
        ('dog', .9), ('cat', .6), ('dog', .5), ('cat', .2)]
    # Below its threshold the best name of an object takes the others along.
    assert not len(Shown(.3, 'one', KNOWN, by_class=True).choose(
        found((BOX, .8, 1), (BOX, .4, 0))))


def test_other_names_have_the_default():
    seen = found((BOX, .55, 2), (OTHER, .4, 2))
    assert names_and_scores(Shown(.9, 'one', KNOWN, True).choose(seen)) == [('cow', .55)]


def test_without_a_calibration_scores_stay():
    seen = found((BOX, .8, 1), (BOX, .5, 0))
    assert names_and_scores(Shown(.3, 'one').choose(seen)) == [('dog', .8)]
    assert names_and_scores(Shown(.5, 'all').choose(seen)) == [('dog', .8), ('cat', .5)]


def test_the_lowest_score_that_may_be_shown():
    names = ('cat', 'dog', 'cow')
    assert Shown(.25, 'one').lowest_score(names) == .25
    assert Shown(.9, 'one', KNOWN, True).lowest_score(names) == pytest.approx(.3, abs=1e-5)
    assert Shown(.5, 'one', KNOWN).lowest_score(('dog', )) == pytest.approx(.8, abs=1e-5)


def task(calibration=None):
    return Task(dict(name='manual'), ('cat', 'dog'), (1, 2), ('cat. dog', ),
                ((((0, 3), ), ((5, 8), )), ), 'ab', 'tiny', {}, calibration=calibration)


def test_it_comes_back_from_a_task_file(tmp_path):
    save_task(task(KNOWN), tmp_path / 't.safetensors')
    assert read_task(tmp_path / 't.safetensors').calibration.json == KNOWN.json
    save_task(task(), tmp_path / 'old.safetensors')
    assert read_task(tmp_path / 'old.safetensors').calibration is None


@pytest.mark.parametrize('change', [
    dict(thresholds={'cat': 2}), dict(thresholds={'cat': '0.5'}), dict(thresholds=[]),
    dict(shared={}), dict(shared={'points': [[0, 0]]}), dict(notes='x'), dict(by=1),
    dict(per_object='two'), dict(default=-1), dict(default=True),
    dict(shifts={'cat': None})])
def test_a_task_file_with_a_damaged_calibration(tmp_path, change):
    path = tmp_path / 't.safetensors'
    save_task(task(KNOWN), path)
    with safe_open(path, 'pt') as file:
        header = file.metadata()
    save_file({}, path, {**header, 'calibration': json.dumps({**KNOWN.json, **change})})
    with pytest.raises(UserError, match='expected a task file .*its calibration cannot be used'):
        read_task(path)


def test_an_exported_model_has_it_too(monkeypatch):
    about = Description(
        model='m', version='1', weights='ab', classes=('cat', 'dog', 'cow'), starts=(0, ),
        score_threshold=.3, rules=dict(kind='anchors', edge=0), size=None, suppressed=True,
        image=dict(channels='bgr', mean=[0] * 3, std=[1] * 3, divisor=1,
                   resize=dict(rule='long_side', long=100, interpolation='bilinear')),
        calibration=KNOWN)
    assert Description.from_json(about.to_json(), 'x').calibration.json == KNOWN.json

    class Silent:
        metadata = about.to_json()

    seen = found((BOX, .8, 1), (BOX, .6, 0), (OTHER, 36 / 37, 1))
    monkeypatch.setattr(model, 'open_engine', lambda path, threads: Silent())
    detect = model.load('m.onnx')
    monkeypatch.setattr(detect, '_detect', lambda item, boxes: Found(
        seen.boxes, seen.scores, seen.labels))
    image = np.zeros((100, 100, 3), np.uint8)
    assert names_and_scores(detect(image)) == [('dog', .9), ('cat', .6)]
    assert names_and_scores(detect(image, score_threshold=.8)) == [('dog', .9)]
