from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from glipkit.data.checking import CheckSettings, DataFile, check
from glipkit.errors import UserError
from glipkit.evaluation import LvisMetric
from glipkit.evaluation.functional.spool import DetectionSpool, Rows
from glipkit.registry import METRICS

from .lvis_world import random_world
from .samples import evaluate, evaluate_on_two, predicted

NAMES = ('dog', 'bow_(weapon)', 'cow')
SCORES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')


def content():
    """Image 4: a dog and a complete list of bows; cows absent. Image 2: dogs, not all of them."""
    def image(id, negative, loose):
        return dict(id=id, height=100, width=200, neg_category_ids=negative,
                    not_exhaustive_category_ids=loose)

    def box(id, image_id, category_id, *xywh):
        return dict(id=id, image_id=image_id, category_id=category_id, bbox=list(xywh),
                    area=xywh[2] * xywh[3], segmentation=[])

    return dict(
        images=[image(4, [30], []), image(2, [10], [20])],
        categories=[dict(id=20, name='dog', frequency='f'),
                    dict(id=10, name='bow_(weapon)', frequency='r'),
                    dict(id=30, name='cow', frequency='c')],
        annotations=[box(1, 4, 20, 10, 10, 40, 40), box(2, 4, 10, 100, 10, 50, 50),
                     box(3, 2, 20, 20, 20, 60, 60)])


@pytest.fixture
def ann_file(tmp_path):
    path = tmp_path / 'lvis.json'
    path.write_text(json.dumps(content()))
    return str(path)


DOG_4, BOW_4, DOG_2 = [10, 10, 50, 50], [100, 10, 150, 60], [20, 20, 80, 80]
PERFECT = [predicted(4, [(0, DOG_4, .9), (1, BOW_4, .8)], text=NAMES),
           predicted(2, [(2, DOG_2, .7)], text=('cow', 'bow_(weapon)', 'dog'))]


@pytest.mark.parametrize('bound', ['fixed', 'capped'])
def test_perfect_boxes(ann_file, bound):
    metric = LvisMetric(ann_file, bound)
    metrics = evaluate(metric, PERFECT)
    assert set(metrics) == {f'lvis_{bound}/{name}' for name in SCORES}
    assert metrics[f'lvis_{bound}/AP'] == metrics[f'lvis_{bound}/APr'] == pytest.approx(1)
    assert metrics[f'lvis_{bound}/APc'] == metrics[f'lvis_{bound}/APs'] == -1
    assert f'LVIS {bound} AP' in metric.protocol and '2 of 2 images' in metric.protocol


def test_federated_rules(ann_file):
    wrong = [150, 60, 180, 90]
    # Bows were never looked for in an image that lists them neither way; more dogs may be in
    # image 2; neither is wrong, whatever its score.
    harmless = [PERFECT[0], predicted(2, [(2, DOG_2, .7), (2, wrong, .95), (0, wrong, .99)],
                                      text=('cow', 'bow_(weapon)', 'dog'))]
    assert evaluate(LvisMetric(ann_file), harmless)['lvis_fixed/AP'] == pytest.approx(1)
    # A bow in image 2, where bows are absent, is: precision 1/2 at every recall.
    harmful = [PERFECT[0], predicted(2, [(2, DOG_2, .7), (1, wrong, .95)],
                                     text=('cow', 'bow_(weapon)', 'dog'))]
    metrics = evaluate(LvisMetric(ann_file), harmful)
    assert metrics['lvis_fixed/APr'] == pytest.approx(.5)
    assert metrics['lvis_fixed/APf'] == pytest.approx(1)
    # A second dog in image 4, whose dogs are complete: right, wrong, right; the third of three
    # has precision 2/3, for the recalls above 1/2.
    second = [predicted(4, [(0, DOG_4, .9), (0, wrong, .8), (1, BOW_4, .8)], text=NAMES),
              PERFECT[1]]
    expected = (51 + 50 * 2 / 3) / 101
    assert evaluate(LvisMetric(ann_file), second)['lvis_fixed/APf'] == pytest.approx(expected)


def test_width_of_boxes(ann_file):
    """The box of the 40 x 40 dog is 39 wide unless no pixel is trimmed: IoU 0.9506."""
    tight = [predicted(4, [(0, [10, 10, 50, 50], .9)], text=NAMES)]
    tighter = [predicted(4, [(0, [10, 10, 49, 49], .9)], text=NAMES)]  # 38 and 39 wide
    plain, whole = LvisMetric(ann_file), LvisMetric(ann_file, trim_pixel=False)
    assert evaluate(plain, tight)['lvis_fixed/APf'] == pytest.approx(1)
    assert evaluate(plain, tighter)['lvis_fixed/APf'] == pytest.approx(.9)  # IoU 0.9025
    assert evaluate(whole, tighter)['lvis_fixed/APf'] == pytest.approx(1)
    assert 'w = x2 - x1 - 1,' in plain.protocol and 'w = x2 - x1,' in whole.protocol


@pytest.mark.parametrize('add_pixel', [False, True])
def test_the_option_of_version_0_1(ann_file, add_pixel):
    assert LvisMetric(ann_file, add_pixel=add_pixel).trim_pixel is not add_pixel


def test_groups(ann_file, tmp_path):
    path = tmp_path / 'splits.json'
    path.write_text(json.dumps(dict(base=['dog'], novel=['bow_(weapon)'], void=['cow'])))
    only_dogs = [predicted(4, [(0, DOG_4, .9)], text=NAMES), PERFECT[1]]
    metrics = evaluate(LvisMetric(ann_file, groups=str(path)), only_dogs)
    assert metrics['lvis_fixed/base_AP'] == pytest.approx(1)
    assert metrics['lvis_fixed/novel_AP50'] == 0 and metrics['lvis_fixed/void_AP'] == -1
    with pytest.raises(UserError, match='bow'):
        LvisMetric(ann_file, groups=dict(novel=['bow']))


def test_classes_that_nobody_asked_for_do_not_count(ann_file):
    metric = LvisMetric(ann_file, groups=dict(bows=['bow_(weapon)']))
    dogs = [predicted(4, [(0, DOG_4, .9)], text=('dog', )),
            predicted(2, [(0, DOG_2, .7)], text=('dog', ))]
    metrics = evaluate(metric, dogs)
    assert metrics['lvis_fixed/AP'] == metrics['lvis_fixed/APf'] == pytest.approx(1)
    assert metrics['lvis_fixed/APr'] == metrics['lvis_fixed/bows_AP'] == -1
    assert f'2 of 2 images, 1 of {len(NAMES)} classes' in metric.protocol


@pytest.mark.parametrize('key', ['area', 'ignore'])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), 'x'])
def test_what_a_table_writes_for_nothing_is_no_value(ann_file, key, value):
    content = json.loads(open(ann_file).read())
    content['annotations'][0][key] = value
    open(ann_file, 'w').write(json.dumps(content))
    with pytest.raises(UserError, match=f'annotations.0.: .*({key}|{value!r})'):
        LvisMetric(ann_file)
    assert check(DataFile(Path(ann_file)), CheckSettings(decode=False), 'lvis').exit_code == 1


def test_a_part_of_the_images_is_scored_and_said(ann_file, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.evaluation.metrics.lvis.print_log', lambda *a: log.append(a[0]))
    metric = LvisMetric(ann_file)
    assert evaluate(metric, PERFECT[:1])['lvis_fixed/AP'] == pytest.approx(1)
    assert '1 of 2 images' in metric.protocol and 'Only 1 of 2' in log[0]
    assert evaluate(LvisMetric(ann_file), PERFECT)['lvis_fixed/AP'] == pytest.approx(1)
    assert len(log) == 1


def test_nothing_found_is_zero(ann_file):
    for samples in ([], [predicted(4, text=NAMES), predicted(2, text=NAMES)]):
        metrics = evaluate(LvisMetric(ann_file), samples)
        assert metrics['lvis_fixed/AP'] == 0 and metrics['lvis_fixed/APc'] == -1


def test_it_evaluates_again_from_nothing(ann_file):
    metric = LvisMetric(ann_file)
    assert evaluate(metric, PERFECT) == evaluate(metric, PERFECT)
    assert evaluate(metric, PERFECT[1:])['lvis_fixed/APr'] == -1


@pytest.mark.parametrize('sample, message', [
    (predicted(4, text=('dog', 'bow')), 'bow'),
    (predicted(99, text=NAMES), 'img_id 99'),
    (predicted(4, text='a dog'), 'a dog')])
def test_what_the_file_does_not_know(ann_file, sample, message):
    with pytest.raises(UserError, match=message):
        evaluate(LvisMetric(ann_file), [sample])


def drop(key, name):
    def change(world):
        del world[key][0][name]
    return change


@pytest.mark.parametrize('change, message', [
    (lambda world: world.pop('images'), 'without images'),
    (drop('images', 'neg_category_ids'), 'neg_category_ids'),
    (drop('categories', 'frequency'), 'frequency'),
    (lambda world: world['images'][0].update(neg_category_ids=[77]), '77'),
    (lambda world: world['annotations'][0].update(category_id=77), r'annotations\[0\]'),
    (lambda world: world['annotations'][1].update(bbox=[1, 2, 3]), r'annotations\[1\]'),
    (lambda world: world['annotations'][1].update(area='big'), 'big'),
    (lambda world: world['images'][1].update(id=4), 'ids')])
def test_bad_files(tmp_path, change, message):
    world = content()
    change(world)
    path = tmp_path / 'bad.json'
    path.write_text(json.dumps(world))
    with pytest.raises(UserError, match=message) as caught:
        LvisMetric(str(path))
    assert 'bad.json' in str(caught.value)


def test_built_from_a_config(ann_file):
    assert METRICS.build(dict(type='LvisMetric', ann_file=ann_file, bound='capped')).spool.per_image
    with pytest.raises(UserError, match='loose'):
        LvisMetric(ann_file, bound='loose')


@pytest.mark.parametrize('bound', ['fixed', 'capped'])
def test_two_processes_score_as_one(tmp_path, monkeypatch, bound):
    # By this name the package gives the function.
    module = sys.modules['glipkit.evaluation.functional.lvis_ap']
    monkeypatch.setattr(module, 'FIXED_PER_CLASS', 30)
    monkeypatch.setattr(module, 'CAPPED_PER_IMAGE', 20)
    world, detections = random_world(3, num_images=20)
    path = tmp_path / 'lvis.json'
    path.write_text(json.dumps(world))
    names = tuple(category['name'] for category in world['categories'])
    label = {category['id']: k for k, category in enumerate(world['categories'])}
    samples = []
    for image in world['images']:
        own = np.flatnonzero(detections['image_id'] == image['id'])
        boxes = detections['boxes'][own]
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        samples.append(predicted(image['id'], [
            (label[detections['category_id'][k]], box, detections['scores'][k])
            for k, box in zip(own, boxes.tolist())], text=names))

    def make():
        return LvisMetric(str(path), bound)

    # The second process gets two images again, as the sampler does to even out the ranks.
    parts = [samples[::2], [*samples[1::2], samples[0], samples[2]]]
    one = evaluate(make(), samples)
    assert 0 < one[f'lvis_{bound}/AP'] < 1
    assert evaluate_on_two(make, parts, tmp_path) == [one, one]


def test_an_error_of_the_first_process_reaches_the_second(ann_file, tmp_path):
    class Failing(LvisMetric):

        def compute_metrics(self, results):
            raise UserError('good', 'bad', 'mend')

    said = evaluate_on_two(lambda: Failing(ann_file), [PERFECT[:1], PERFECT[1:]], tmp_path)
    assert said == ['UserError: expected good; got bad; mend'] * 2


# -- the spool ------------------------------------------------------------------------------------


def some_images(seed, count=40, classes=5):
    rng = np.random.default_rng(seed)
    for image in range(count):
        n = rng.integers(0, 60)
        yield (image, rng.integers(0, classes, n), rng.uniform(0, 9, (n, 4)),
               rng.random(n).round(1))


def as_lists(rows):
    return [rows.image.tolist(), rows.category.tolist(), rows.boxes.tolist(), rows.scores.tolist()]


def test_the_bounds_hold_in_any_order_of_images(monkeypatch):
    monkeypatch.setattr('glipkit.evaluation.functional.spool._PENDING', 100)
    images = list(some_images(0))
    everything = Rows.cat([Rows.of(np.full(len(s), i), c, b, s) for i, c, b, s in images]).ranked()
    expected = Rows.cat([everything[everything.category == c][:50] for c in range(5)])
    for order in (images, images[::-1], [*images, *images[:3]]):
        spool = DetectionSpool(5, per_class=50)
        for image in order:
            spool.add(*image)
        assert as_lists(spool.rows()) == as_lists(expected)
        assert spool.seen.tolist() == list(range(40))


def test_memory_is_bounded_while_images_come_in(monkeypatch):
    monkeypatch.setattr('glipkit.evaluation.functional.spool._PENDING', 1000)
    spool, held = DetectionSpool(5, per_class=50), []
    for image in some_images(1, 400):
        spool.add(*image)
        held.append(len(spool._kept) + sum(map(len, spool._pending)))
    assert max(held) < 5 * 50 + 1000 + 60


def test_the_bound_of_an_image_is_over_its_classes():
    spool = DetectionSpool(3, per_image=2)
    spool.add(0, [0, 1, 2, 2], np.zeros((4, 4)), [.5, .9, .5, .1])
    assert spool.rows().category.tolist() == [0, 1]  # of equal scores the first


def test_merged_spools_are_one():
    images = list(some_images(2))
    spools = [DetectionSpool(5, per_class=50) for _ in range(3)]
    for part, spool in zip((images[:20], images[15:], images), spools):
        for image in part:
            spool.add(*image)
    merged = DetectionSpool(5, per_class=50)
    for spool in spools[:2]:
        merged.merge(spool.rows(), spool.seen)
    assert as_lists(merged.rows()) == as_lists(spools[2].rows())


def test_scores_of_a_diverged_model_are_refused(ann_file):
    with pytest.raises(UserError, match='finite scores; got inf for img_id 4'):
        evaluate(LvisMetric(ann_file), [predicted(4, [(0, DOG_4, float('inf'))], text=NAMES)])


@pytest.mark.parametrize('key', ['images', 'categories'])
def test_ids_beyond_64_bits_are_refused(tmp_path, key):
    large = content()
    large[key][0]['id'] = 1 << 64
    path = tmp_path / 'large.json'
    path.write_text(json.dumps(large))
    with pytest.raises(UserError, match='at most 64 bits'):
        LvisMetric(str(path))
