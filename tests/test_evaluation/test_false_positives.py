from __future__ import annotations

import json

import numpy as np
import pytest

from glipkit.errors import UserError
from glipkit.evaluation import FalsePositiveMetric
from glipkit.evaluation.functional import count_above, false_positives
from glipkit.registry import METRICS

from .samples import evaluate, evaluate_on_two, predicted

BOX = [0, 0, 9, 9]


def test_counting():
    scores, absent = np.array([.9, .5, .3, .2]), [True, True, False, True]
    assert count_above(scores, absent, [.1, .5, .51, .95]).tolist() == [3, 2, 1, 0]
    assert count_above(np.zeros(0), [], [.5]).tolist() == [0]


def test_a_score_equal_to_the_threshold_counts_in_either_precision():
    for dtype in (np.float32, np.float64):
        assert count_above(np.array([.3], dtype), [True], [.3]).tolist() == [1]


def test_hand_worked_means():
    # three images with 2, 1 and 5 absent classes
    scores = false_positives([[4, 1], [0, 0], [2, 0]], [2, 1, 5], (.1, .5))
    assert scores.per_image == {.1: pytest.approx(2), .5: pytest.approx(1 / 3)}
    assert scores.per_class == {.1: pytest.approx(6 / 8), .5: pytest.approx(1 / 8)}
    assert scores.images == {.1: pytest.approx(2 / 3), .5: pytest.approx(1 / 3)}
    assert '3 images' in scores.protocol and '8 pairs' in scores.protocol
    assert false_positives([], [], (.5, )).per_image == {.5: -1}


def content(**federated):
    """Image 1: a dog and a crowd of cats. Image 2: nothing."""
    def box(id, category_id, crowd):
        return dict(id=id, image_id=1, category_id=category_id, bbox=[0, 0, 10, 10], area=100,
                    iscrowd=crowd)

    return dict(
        images=[dict(id=i, file_name=f'{i}.jpg', height=90, width=80, **federated)
                for i in (1, 2)],
        categories=[dict(id=c, name=name, frequency='f')
                    for c, name in ((5, 'dog'), (6, 'cat'), (9, 'cow'))],
        annotations=[box(1, 5, 0), box(2, 6, 1)])


@pytest.fixture
def write(tmp_path):
    def written(**federated):
        path = tmp_path / 'truth.json'
        path.write_text(json.dumps(content(**federated)))
        return str(path)
    return written


NAMES = ('cow', 'cat', 'dog')
FIRST = predicted(1, [(0, BOX, .6), (1, BOX, .9), (2, BOX, .9), (0, BOX, .2)], text=NAMES)
SECOND = predicted(2, [(2, BOX, .35), (1, BOX, .3)], text=NAMES)


def test_coco_images_lack_what_is_not_annotated(write):
    """Image 1 lacks cows (the crowd is a presence), image 2 lacks all three."""
    metric = FalsePositiveMetric(write(), thresholds=[.3, .5])
    metrics = evaluate(metric, [FIRST, SECOND])
    assert metrics == pytest.approx({
        'false_positives/per_image@0.3': 3 / 2, 'false_positives/per_image@0.5': 1 / 2,
        'false_positives/per_class@0.3': 3 / 4, 'false_positives/per_class@0.5': 1 / 4,
        'false_positives/images@0.3': 1, 'false_positives/images@0.5': 1 / 2})
    assert 'classes without annotation' in metric.protocol


def test_lvis_images_lack_what_they_say(write):
    path = write(neg_category_ids=[9], not_exhaustive_category_ids=[])
    metric = METRICS.build(
        dict(type='FalsePositiveMetric', ann_file=path, thresholds=[.1], prefix='fp'))
    metrics = evaluate(metric, [FIRST, SECOND])
    assert metrics == pytest.approx({'fp/per_image@0.1': 1, 'fp/per_class@0.1': 1,
                                     'fp/images@0.1': .5})
    assert 'LVIS negatives' in metric.protocol


def test_only_what_was_asked_for_can_be_wrong(write):
    asked = [predicted(1, [(0, BOX, .9)], text=('dog', )), predicted(2, text=('dog', 'cow'))]
    metric = FalsePositiveMetric(write(), thresholds=[.5])
    assert evaluate(metric, asked)['false_positives/per_image@0.5'] == 0
    assert '1 images, 2 pairs' in metric.protocol and '2 of 3 classes' in metric.protocol


def test_two_processes_count_a_repeated_image_once(write, tmp_path):
    path = write()
    one = evaluate(FalsePositiveMetric(path), [FIRST, SECOND])
    assert evaluate_on_two(lambda: FalsePositiveMetric(path), [[FIRST], [SECOND, FIRST]],
                           tmp_path) == [one, one]


def test_it_evaluates_again_from_nothing(write):
    metric = FalsePositiveMetric(write())
    evaluate(metric, [FIRST, SECOND])
    assert evaluate(metric, [])['false_positives/per_image@0.5'] == -1


@pytest.mark.parametrize('thresholds', [[], [1.5], .3, ['a']])
def test_bad_thresholds(write, thresholds):
    with pytest.raises(UserError, match='thresholds'):
        FalsePositiveMetric(write(), thresholds=thresholds)


@pytest.mark.parametrize('sample, message', [
    (predicted(7, text=NAMES), 'img_id 7'), (predicted(1, text=('pig', )), 'pig')])
def test_what_the_file_does_not_know(write, sample, message):
    with pytest.raises(UserError, match=message):
        evaluate(FalsePositiveMetric(write()), [sample])


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match='nowhere.json'):
        FalsePositiveMetric(str(tmp_path / 'nowhere.json'))


def test_scores_of_a_diverged_model_are_refused(write):
    sample = predicted(2, [(0, BOX, float('nan'))], text=('dog', ))
    with pytest.raises(UserError, match='finite scores; got nan for img_id 2'):
        evaluate(FalsePositiveMetric(write(), thresholds=[.5]), [sample])
