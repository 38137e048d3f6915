import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from glipkit.evaluation.functional import coco_ap
from glipkit.evaluation.functional.coco_ap import SCORE_NAMES


def pycocotools_ap(images, classes, annotations, detections, members=None):
    """The six scores from pycocotools, over all classes or over some."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dict(images=[dict(id=i) for i in images],
                             categories=[dict(id=c) for c in classes],
                             annotations=[dict(a, id=k) for k, a in enumerate(annotations, 1)])
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(d) for d in detections]), 'bbox')
        evaluation.params.catIds = list(members or classes)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(SCORE_NAMES, evaluation.stats[:6]))


def random_world(seed, num_images=12, classes=(0, 3, 4, 11, 90)):
    """Boxes of all area ranges, crowds, ties of scores, a class without ground truth."""
    rng = np.random.default_rng(seed)

    def box():
        corner, side = rng.uniform(0, 200, 2), rng.choice([10, 60, 200]) * rng.uniform(.5, 1.5, 2)
        return [*corner.tolist(), *side.tolist()]

    annotations, detections = [], []
    for image in range(num_images):
        for _ in range(rng.integers(0, 8)):
            bbox = box()
            annotations.append(dict(
                image_id=image, category_id=int(rng.choice(classes[:-1])), bbox=bbox,
                area=bbox[2] * bbox[3] * rng.uniform(.4, 1), iscrowd=int(rng.random() < .15)))
            for _ in range(rng.integers(0, 4)):
                moved = (np.array(bbox) + rng.normal(0, .06, 4) * np.tile(bbox[2:], 2)).tolist()
                detections.append((image, annotations[-1]['category_id'], moved))
        detections += [(image, int(rng.choice(classes)), box()) for _ in range(rng.integers(0, 6))]
    return list(range(num_images)), list(classes), annotations, [
        dict(image_id=i, category_id=c, bbox=b, score=round(float(rng.random()), 1))
        for i, c, b in detections
    ]


@pytest.mark.parametrize('seed', range(6))
def test_random_detections_score_as_with_pycocotools(seed):
    world = random_world(seed)
    scores = coco_ap(*world, groups=dict(some=[3, 90, 4], rest=[0, 11]))
    assert 0.02 < scores.overall['AP'] < 0.9
    for members, ours in [(None, scores.overall), ([3, 90, 4], scores.groups['some']),
                          ([0, 11], scores.groups['rest']),
                          *[([c], own) for c, own in scores.per_class.items()]]:
        expected = pycocotools_ap(*world, members)
        assert ours == pytest.approx(expected, abs=1e-9)
    assert scores.per_class[90]['AP'] == -1


def test_perfect_detections():
    images, classes, annotations, _ = random_world(1)
    annotations = [dict(a, iscrowd=0) for a in annotations]
    found = [dict(image_id=a['image_id'], category_id=a['category_id'], bbox=a['bbox'], score=.5)
             for a in annotations]
    scores = coco_ap(images, classes, annotations, found)
    assert scores.overall == pytest.approx(
        pycocotools_ap(images, classes, annotations, found), abs=1e-9)
    assert scores.overall['AP'] == pytest.approx(1)


def test_perfect_detections_among_crowds_and_empty_images():
    images, classes, annotations, _ = random_world(2)
    assert any(a['iscrowd'] for a in annotations)
    found = [dict(image_id=a['image_id'], category_id=a['category_id'], bbox=a['bbox'], score=.5)
             for a in annotations]
    images = [*images, 100, 101]  # with nothing in them
    found.append(dict(image_id=101, category_id=3, bbox=[0, 0, 9, 9], score=.9))
    scores = coco_ap(images, classes, annotations, found)
    assert scores.overall == pytest.approx(
        pycocotools_ap(images, classes, annotations, found), abs=1e-9)
    assert .9 < scores.overall['AP'] < 1
    assert scores.protocol.startswith('COCO box AP, IoU 0.50:0.05:0.95, at most 100')


def test_hand_worked_group_scores():
    def gt(category, x):
        return dict(image_id=5, category_id=category, bbox=[x, 0, 50, 50])

    def dt(category, x, score):
        return dict(image_id=5, category_id=category, bbox=[x, 0, 50, 50], score=score)

    annotations = [gt(1, 0), gt(1, 100), gt(2, 200), gt(3, 300)]
    detections = [
        dt(1, 0, .9),  # class 1: one of two found, then a false positive: precision 1 up to
        dt(1, 500, .8),  # recall 0.5, which are 51 of the 101 recall points
        dt(2, 600, .9), dt(2, 200, .8),  # class 2: false, then right: precision 0.5 everywhere
        # class 3: found with IoU 40 / 60 = 0.667: right at thresholds 0.50 to 0.65, 4 of 10
        dt(3, 310, .7),
    ]
    scores = coco_ap([5], [1, 2, 3, 4], annotations, detections,
                     groups=dict(seen=[1, 3], unseen=[2], void=[4], none=[]))
    per_class = {c: (s['AP'], s['AP50'], s['AP75']) for c, s in scores.per_class.items()}
    half = 51 / 101
    assert per_class[1] == pytest.approx((half, half, half))
    assert per_class[2] == pytest.approx((.5, .5, .5))
    assert per_class[3] == pytest.approx((.4, 1, 0))
    assert scores.groups['seen']['AP50'] == pytest.approx((half + 1) / 2)
    assert scores.groups['seen']['AP'] == pytest.approx((half + .4) / 2)
    assert scores.groups['unseen']['AP'] == pytest.approx(.5)
    assert scores.overall['AP50'] == pytest.approx((half + .5 + 1) / 3)
    # 50 x 50 is of medium size
    assert scores.overall['APm'] == pytest.approx(scores.overall['AP'])
    assert scores.overall['APs'] == scores.overall['APl'] == -1
    assert set(scores.groups['void'].values()) == set(scores.groups['none'].values()) == {-1}


def test_nothing_found_is_zero():
    annotations = [dict(image_id=1, category_id=1, bbox=[0, 0, 10, 10])]
    scores = coco_ap([1, 2], [1, 2], annotations, [])
    assert scores.overall == dict(AP=0, AP50=0, AP75=0, APs=0, APm=-1, APl=-1)
    assert set(coco_ap([1], [1], [], []).overall.values()) == {-1}


def test_other_images_do_not_count():
    annotations = [dict(image_id=i, category_id=1, bbox=[0, 0, 10, 10]) for i in (1, 2)]
    found = [dict(image_id=1, category_id=1, bbox=[0, 0, 10, 10], score=.5),
             dict(image_id=2, category_id=1, bbox=[50, 50, 10, 10], score=.9)]
    assert coco_ap([1], [1], annotations, found).overall['AP'] == pytest.approx(1)
    assert coco_ap([1, 2], [1], annotations, found).overall['AP'] < .6


def test_only_the_best_detections_per_image_and_class_count():
    annotations = [dict(image_id=1, category_id=1, bbox=[0, 0, 10, 10])]
    found = [dict(image_id=1, category_id=1, bbox=[90 + i, 0, 10, 10], score=.9) for i in range(3)]
    found.append(dict(image_id=1, category_id=1, bbox=[0, 0, 10, 10], score=.1))
    assert coco_ap([1], [1], annotations, found, max_dets=3).overall['AP'] == 0
    assert coco_ap([1], [1], annotations, found, max_dets=4).overall['AP'] == pytest.approx(.25)


def test_inputs_are_left_alone():
    world = random_world(0)
    copy = [[dict(x) if isinstance(x, dict) else x for x in part] for part in world]
    coco_ap(*world)
    assert list(world) == copy
