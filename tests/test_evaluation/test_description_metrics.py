"""AP of described objects: D3 and OmniLabel, by hand and beside pycocotools."""
from __future__ import annotations

import json

import numpy as np
import pytest

from glipkit.data import DescribedDetection
from glipkit.errors import UserError
from glipkit.evaluation import DescribedMetric, OmniLabelMetric
from glipkit.evaluation.functional import described_ap, omnilabel_ap

from .samples import evaluate, evaluate_on_two, predicted
from .test_coco_ap import pycocotools_ap

A, B = [0, 0, 10, 10], [30, 0, 10, 10]  # xywh
A_FOUND, B_FOUND, NOTHING = [0, 0, 10, 10], [30, 0, 40, 10], [60, 60, 70, 70]  # xyxy
HAT, BARE, DOG = 'person in a hat', 'a person who does not wear a hat', 'dog'


@pytest.fixture
def write(tmp_path):
    def _write(content, name='a.json'):
        (tmp_path / name).write_text(json.dumps(content))
        return str(tmp_path / name)

    return _write


def d3(*names):
    """Three pictures; of the named sentences, with ids that do not change."""
    ids = {HAT: 4, BARE: 9, DOG: 2}
    boxes = [(0, HAT, A), (0, BARE, B), (1, HAT, A), (2, DOG, B)]
    return dict(
        images=[dict(id=i, file_name=f'{i}.jpg', height=90, width=80) for i in range(3)],
        categories=[dict(id=ids[name], name=name) for name in names or ids],
        annotations=[dict(id=k, image_id=i, category_id=ids[name], bbox=box, area=100, iscrowd=0)
                     for k, (i, name, box) in enumerate(boxes) if name in (names or ids)])


GROUPS = [dict(id=0, img_id=[0, 1], inner_sent_id=[4, 9]), dict(id=1, img_id=[2],
                                                               inner_sent_id=[2])]
FOUND = [predicted(0, [(0, A_FOUND, .9), (1, A_FOUND, .8), (1, B_FOUND, .7)], text=(HAT, BARE)),
         predicted(1, [(1, NOTHING, .95)], text=(HAT, BARE)),
         predicted(2, [(0, B_FOUND, .1)], text=(DOG, ))]


def test_d3_by_hand(write):
    metric = DescribedMetric(
        write(d3()), dict(pres=write(d3(HAT, DOG), 'p.json'), abs=write(d3(BARE), 'n.json')),
        write(GROUPS, 'groups.json'))
    found = evaluate(metric, FOUND)
    # Hat: one of two boxes, at precision 1: 51 of 101 recalls. Bare: the third in rank is right.
    # The dog is found whole.
    hat, bare = 51 / 101, 1 / 3
    assert found['d3/full_AP'] == pytest.approx((hat + bare + 1) / 3)
    assert found['d3/pres_AP'] == pytest.approx((hat + 1) / 2)
    assert found['d3/abs_AP50'] == pytest.approx(bare)
    assert found['d3/full_AP_short'] == pytest.approx(1)
    assert found['d3/full_AP_mid'] == pytest.approx(hat)
    assert found['d3/full_AP_long'] == pytest.approx(bare)
    assert found['d3/full_AP_very_long'] == -1
    for words in ('intra-scenario', '3 of 3 images', '5 of 5 questions', 'at most 100'):
        assert words in metric.protocol
    inter = DescribedMetric(write(d3()))
    evaluate(inter, FOUND)
    assert 'inter-scenario' in inter.protocol and '5 of 9 questions' in inter.protocol


def test_d3_equals_pycocotools():
    rng = np.random.default_rng(0)

    def box():
        return [*rng.uniform(0, 60, 2).tolist(), *rng.uniform(5, 40, 2).tolist()]

    truth, found = [], []
    for image in range(8):
        for number in (3, 5):
            for _ in range(rng.integers(0, 4)):
                one = dict(image_id=image, category_id=number, bbox=box(), iscrowd=0)
                truth.append({**one, 'area': one['bbox'][2] * one['bbox'][3]})
                found.append(dict(image_id=image, category_id=number, score=float(rng.random()),
                                  bbox=[v + float(rng.normal()) for v in one['bbox']]))
            found.append(dict(image_id=image, category_id=number, score=float(rng.random()),
                              bbox=box()))
    ours = described_ap(range(8), {3: 'a b', 5: 'a b c d'}, truth, found).scores
    theirs = pycocotools_ap(range(8), [3, 5], truth, found)
    assert ours['AP'] == pytest.approx(theirs['AP']) and ours['AP75'] == pytest.approx(
        theirs['AP75'])
    assert (ours['AP_short'] + ours['AP_mid']) / 2 == pytest.approx(ours['AP'])


def test_a_data_set_of_groups(write, tmp_path):
    write(d3()), write({str(g['id']): g for g in GROUPS}, 'groups.json')
    common = dict(data_root=str(tmp_path), test_mode=True, pipeline=[])
    data = DescribedDetection('a.json', 'groups.json', **common)
    assert [data.get_data_info(i)['text'] for i in range(3)] == [(HAT, BARE), (HAT, BARE), (DOG, )]
    assert [(i['bbox'], i['bbox_label']) for i in data.get_data_info(0)['instances']] == [
        ([0., 0., 10., 10.], 0), ([30., 0., 40., 10.], 1)]
    alone = DescribedDetection('a.json', 'groups.json', at_once=1, **common)
    assert [(s['img_id'], s['text'], len(s['instances'])) for s in map(
        alone.get_data_info, range(len(alone)))] == [
            (0, (HAT, ), 1), (0, (BARE, ), 1), (1, (HAT, ), 1), (1, (BARE, ), 0), (2, (DOG, ), 1)]
    assert len(DescribedDetection('a.json', **common).get_data_info(2)['text']) == 3


def test_descriptions_of_one_image_in_several_samples(write):
    metric = DescribedMetric(write(d3()), groups_file=write(GROUPS, 'g.json'))
    whole = evaluate(metric, FOUND)
    alone = [predicted(0, [(0, A_FOUND, .9)], text=(HAT, )),
             predicted(0, [(0, A_FOUND, .8), (0, B_FOUND, .7)], text=(BARE, )),
             predicted(1, [], text=(HAT, )), predicted(1, [(0, NOTHING, .95)], text=(BARE, )),
             FOUND[2]]
    assert evaluate(metric, alone) == whole


def omnilabel():
    """Picture 1: a dog (box A), 'the left one' A, 'not here at all' nothing. Picture 2: 'the left
    one' B, and a dog twice, as category and as sentence."""
    texts = [(5, 'dog', 'object_category', [1, 2]), (6, 'the left one', 'object_description',
                                                    [1, 2]),
             (7, 'a thing (red) that is not here at all of', 'object_description', [1]),
             (8, 'dog', 'object_description', [2])]
    return dict(
        images=[dict(id=i, file_name=f'{i}.jpg') for i in (1, 2)],
        descriptions=[dict(id=i, text=t, anno_info=dict(type=kind), image_ids=images)
                      for i, t, kind, images in texts],
        annotations=[dict(id=1, image_id=1, bbox=A, description_ids=[5, 6]),
                     dict(id=2, image_id=2, bbox=B, description_ids=[6, 8])])


SEEN = [predicted(1, [(0, A_FOUND, .9), (1, A_FOUND, .5), (2, A_FOUND, .8)],
                  text=('dog', 'the left one', 'a thing (red) that is not here at all of')),
        predicted(2, [(1, B_FOUND, .6), (0, B_FOUND, .3)], text=('dog', 'the left one'))]


def test_omnilabel_by_hand(write):
    metric = OmniLabelMetric(write(omnilabel()))
    found = evaluate(metric, SEEN)
    # Categories: the dog of picture 1 (.9) is right, that of picture 2 (.3) is no category's.
    assert found['omnilabel/AP_categ'] == pytest.approx(1)
    # Sentences by score: .8 wrong, .6 right, .5 right, .3 right; 3 boxes. Precision 0, 1/2, 2/3,
    # 3/4, made to fall: 3/4 everywhere.
    assert found['omnilabel/AP_descr'] == pytest.approx(.75)
    assert found['omnilabel/AP_descr_pos'] == pytest.approx(1)  # without the pair of nothing
    assert found['omnilabel/AP_descr_s'] == pytest.approx(1)
    assert found['omnilabel/AP_descr_m'] == -1 and found['omnilabel/AP_descr_l'] == -1
    assert found['omnilabel/AP'] == pytest.approx(2 * .75 / 1.75, abs=1e-5)
    assert '2 of 2 images, 6 of 6 questions' in metric.protocol


def test_omnilabel_ranks_pairs_together_and_matches_within_them():
    truth = [dict(image_id=1, description_id=3, bbox=A), dict(image_id=2, description_id=4, bbox=A)]
    found = [dict(image_id=1, description_id=4, bbox=A, score=.9),  # of another description
             dict(image_id=1, description_id=3, bbox=A, score=.8),
             dict(image_id=2, description_id=4, bbox=A, score=.7)]
    pairs = [(1, 3), (1, 4), (2, 4)]
    scores = omnilabel_ap(pairs, set(), {3: 'a b', 4: 'c'}, truth, found).scores
    # Of each description by itself AP would be 1 and 1/2.
    assert scores['AP_descr'] == pytest.approx(2 / 3) and scores['AP'] == -1
    assert scores['AP_categ'] == -1
    whole = omnilabel_ap(pairs, {3, 4}, {3: 'a b', 4: 'c'}, truth, []).scores
    assert whole['AP_categ'] == 0 and whole['AP_descr'] == -1


def test_omnilabel_as_a_data_set(write, tmp_path):
    write(omnilabel())
    data = DescribedDetection('a.json', data_root=str(tmp_path), test_mode=True, pipeline=[])
    one, two = data.get_data_info(0), data.get_data_info(1)
    assert two['text'] == ('dog', 'the left one') and 'caption_prompt' not in two
    assert one['caption_prompt'] == {one['text'][2]: {'name': one['text'][2]}}
    assert [i['bbox_label'] for i in two['instances']] == [0, 1]  # one text of two descriptions


@pytest.mark.slow
def test_two_processes_count_what_one_counts(write, tmp_path):
    path = write(omnilabel())
    one = evaluate(OmniLabelMetric(path), SEEN)
    assert evaluate_on_two(lambda: OmniLabelMetric(path), [SEEN[:1], SEEN], tmp_path) == [one, one]


def test_a_description_without_a_word_is_never_found(write):
    content = omnilabel()
    content['descriptions'][0]['text'] = '?!'
    found = evaluate(OmniLabelMetric(write(content)), [
        predicted(1, [], text=('the left one', )), SEEN[1]])
    assert found['omnilabel/AP_categ'] == 0


@pytest.mark.parametrize('change, said', [
    (dict(images=1), 'without images'), (dict(descriptions=[dict(id=1, text='a')]), 'anno_info'),
    (dict(annotations=[dict(image_id=1, bbox=A, description_ids=[99])]), '99'),
    (dict(annotations=[dict(image_id=1, bbox=A)]), 'description_ids'),
    (dict(descriptions=[dict(id=1)]), 'text None')])
def test_bad_files(write, change, said):
    with pytest.raises(UserError, match=said):
        OmniLabelMetric(write({**omnilabel(), **change}))


def test_what_does_not_belong_together(write, tmp_path):
    path = write(d3())
    with pytest.raises(UserError, match='DescribedMetric'):
        OmniLabelMetric(path)
    with pytest.raises(UserError, match='same ids'):
        DescribedMetric(path, dict(pres=write(omnilabel(), 'o.json')))
    with pytest.raises(UserError, match='groups'):
        DescribedMetric(path, groups_file=write([dict(img_id=[70], inner_sent_id=[4])], 'g.json'))
    with pytest.raises(UserError, match='json.dump'):
        DescribedMetric(path, groups_file=str(tmp_path / 'groups.pkl'))
    with pytest.raises(UserError, match='a cat'):
        evaluate(DescribedMetric(path), [predicted(0, [], text=('a cat', ))])
    with pytest.raises(UserError, match='at_once'):
        DescribedDetection(path, at_once=0)
