"""Accuracy on referring expressions, in both layouts."""
from __future__ import annotations

import json

import numpy as np
import pytest
from mmdet.evaluation import RefExpMetric

from glipkit.data import ReferringExpressions
from glipkit.errors import UserError
from glipkit.evaluation import ReferringMetric

from .samples import evaluate, evaluate_on_two, predicted

LEFT, RIGHT, BODY = [0, 0, 10, 10], [30, 0, 10, 10], [50, 50, 20, 40]  # xywh


def mdetr(**changes):
    """Expressions 7 and 9 of one picture, and 3 of another data set."""
    rows = [(7, 'the left dog', 'refcoco', LEFT), (9, 'dog on the right', 'refcoco', RIGHT),
            (3, 'man', 'refcoco+', BODY)]
    content = dict(
        images=[dict(id=i, file_name='a.jpg', height=90, width=80, caption=text, dataset_name=name)
                for i, text, name, _ in rows],
        annotations=[dict(id=k, image_id=i, bbox=box, category_id=1, iscrowd=0)
                     for k, (i, *_, box) in enumerate(rows)], categories=[])
    return {**content, **changes}


REFERENCES = [
    dict(ref_id=1, ann_id=5, image_id=1, split='val',
         sentences=[dict(sent_id=7, sent='the left dog', raw='The left dog.'),
                    dict(sent_id=9, raw='dog on the left')]),
    dict(ref_id=2, ann_id=6, image_id=1, split='testA', sentences=[dict(sent_id=3, sent='man')])]
INSTANCES = dict(
    images=[dict(id=1, file_name='a.jpg', height=90, width=80)],
    categories=[dict(id=1, name='dog'), dict(id=2, name='person')],
    annotations=[dict(id=5, image_id=1, category_id=1, bbox=LEFT, area=100, iscrowd=0),
                 dict(id=6, image_id=1, category_id=2, bbox=BODY, area=800, iscrowd=0)])


@pytest.fixture
def write(tmp_path):
    def _write(content, name='a.json'):
        (tmp_path / name).write_text(json.dumps(content))
        return str(tmp_path / name)

    return _write


def sample(img_id, *found):
    return predicted(img_id, [(0, *one) for one in found], text='x', phrases=[[[0, 1]]])


# 7: right at once, by exactly half. 9: the second box. 3: nothing is found.
FOUND = [sample(7, ([0, 0, 10, 5], .2), ([30, 0, 40, 10], .1)),
         sample(9, ([0, 0, 10, 10], .9), ([31, 0, 40, 10], .8)), sample(3)]


def test_accuracy_by_hand(write):
    metric = ReferringMetric(write(mdetr()))
    found = evaluate(metric, FOUND)
    assert found['refexp/P@1'] == pytest.approx(1 / 3)
    assert found['refexp/P@5'] == found['refexp/P@all'] == pytest.approx(2 / 3)
    assert found['refexp/refcoco_P@1'] == .5 and found['refexp/refcoco_P@10'] == 1
    assert found['refexp/refcoco+_P@all'] == 0
    assert '3 of 3 expressions' in metric.protocol and 'IoU >= 0.5' in metric.protocol
    assert evaluate(metric, [])['refexp/P@1'] == -1


def test_one_data_set_has_no_names_of_its_own(write):
    one = mdetr()
    for key in ('images', 'annotations'):
        one[key] = one[key][:2]
    found = evaluate(ReferringMetric(write(one), topk=[1]), FOUND[:2])
    assert found == {'refexp/P@1': .5, 'refexp/P@all': 1.}


def test_equals_mmdet(write):
    rng = np.random.default_rng(0)
    content = mdetr(images=[], annotations=[])
    samples = []
    for k in range(40):
        box = [*rng.uniform(0, 40, 2).tolist(), *rng.uniform(10, 40, 2).tolist()]
        content['images'].append(dict(id=k, file_name='a.jpg', height=90, width=80, caption='x',
                                      dataset_name=['refcoco', 'refcoco+', 'refcocog'][k % 3]))
        content['annotations'].append(dict(id=k + 1, image_id=k, bbox=box, category_id=1, area=1))
        moved = np.array([*box[:2], box[0] + box[2], box[1] + box[3]]) + rng.normal(0, 7, (12, 4))
        scores = np.sort(rng.random(12))[::-1].tolist()
        samples.append(sample(k, *zip(moved.tolist(), scores)))
    path = write(content)
    ours, theirs = evaluate(ReferringMetric(path), samples), evaluate(RefExpMetric(path), samples)
    for name in ('refcoco', 'refcoco+', 'refcocog'):
        for k in (1, 5, 10):
            assert ours[f'refexp/{name}_P@{k}'] == pytest.approx(
                theirs[f'refexp/{name}_precision@{k}'])
    assert 0 < ours['refexp/P@1'] < ours['refexp/P@10'] < 1


@pytest.mark.slow
def test_two_processes_count_what_one_counts(write, tmp_path):
    path = write(mdetr())
    one = evaluate(ReferringMetric(path), FOUND)
    assert evaluate_on_two(lambda: ReferringMetric(path), [FOUND[:2], FOUND[1:]],
                           tmp_path) == [one, one]


def test_a_sample_asks_for_the_whole_expression(write, tmp_path):
    write(mdetr())
    data = ReferringExpressions('a.json', data_root=str(tmp_path), test_mode=True, pipeline=[])
    one = data.get_data_info(1)
    assert one['text'] == 'dog on the right' and one['phrases'] == [[(0, 16)]]
    assert one['instances'] == [dict(bbox=[30., 0., 40., 10.], bbox_label=0, ignore_flag=0)]
    assert (one['img_id'], one['img_path']) == (9, str(tmp_path / 'a.jpg'))


def test_a_list_of_references(write, tmp_path):
    refs, instances = write(REFERENCES, 'refs.json'), write(INSTANCES, 'instances.json')
    data = ReferringExpressions('refs.json', instances_file='instances.json', split='val',
                                data_root=str(tmp_path), test_mode=True, pipeline=[])
    assert [data.get_data_info(i)['text'] for i in range(2)] == ['the left dog', 'dog on the left']
    metric = ReferringMetric(refs, instances, 'val')
    assert evaluate(metric, FOUND[:2])['refexp/P@1'] == 1
    assert 'split val' in metric.protocol
    assert len(ReferringMetric(refs, instances).expressions) == 3
    with pytest.raises(UserError, match="split 'test'"):
        ReferringMetric(refs, instances, 'test')
    with pytest.raises(UserError, match='instances_file'):
        ReferringMetric(refs)


def test_a_pickle_is_refused_with_the_way_out(tmp_path):
    (tmp_path / 'refs(unc).p').write_bytes(b'cos\nsystem\n(S"touch x"\ntR.')
    with pytest.raises(UserError, match='json.dump'):
        ReferringMetric(str(tmp_path / 'refs(unc).p'))


@pytest.mark.parametrize('changes, said', [
    (dict(annotations=[]), 'none of image 7'), (dict(images=3), 'images'),
    (dict(annotations=mdetr()['annotations'] * 2), 'a second of 7'),
    (dict(images=[dict(id=7, file_name='a', caption='!?')]), "'!\\?'"),
    (dict(annotations=[dict(image_id=7, bbox=[1, 2, 3])]), r'annotations\[0\]')])
def test_bad_files(write, changes, said):
    with pytest.raises(UserError, match=said):
        ReferringMetric(write(mdetr(**changes)))


def test_bad_samples_and_settings(write):
    metric = ReferringMetric(write(mdetr()))
    with pytest.raises(UserError, match='img_id 8'):
        evaluate(metric, [sample(8)])
    with pytest.raises(UserError, match='topk'):
        ReferringMetric(write(mdetr()), topk=[0])
