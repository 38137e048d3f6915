"""IoU and panoptic quality: numbers worked by hand, mmdet's copy of panopticapi, and bad files."""
from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest
import torch
from mmdet.evaluation.functional import panoptic_utils
from mmengine.structures import InstanceData
from PIL import Image

from glipkit.cli.main import main
from glipkit.data.formats.label_images import segment_picture
from glipkit.data.formats.panoptic import CocoPanoptic
from glipkit.data.formats.semantic import SemanticLabels
from glipkit.errors import UserError
from glipkit.evaluation.functional.segmentation import (
    Segments,
    confusion_matrix,
    panoptic_counts,
    panoptic_scores,
    segmentation_scores,
)
from glipkit.evaluation.metrics.segmentation import PanopticMetric, SemanticMetric, joined_stuff
from glipkit.testing.tiny_dense_clip import TINY_CONFIG
from glipkit.worlds import things


def test_iou_by_hand():
    truth = np.array([[0, 0, 1, -1], [0, 1, 1, 3]])
    found = np.array([[0, 2, 1, 0], [0, 1, 0, 3]])
    matrix = confusion_matrix(truth, found, 5)
    assert matrix.sum() == 7 and matrix[0].tolist() == [2, 0, 1, 0, 0]
    scores = segmentation_scores(matrix, dict(base=[0, 1], novel=[4]))
    # Class 0: 2 of 4, class 1: 2 of 3, class 2: found once where it is not, class 3: 1 of 1.
    assert scores == pytest.approx(dict(miou=(1 / 2 + 2 / 3 + 0 + 1) / 4, accuracy=5 / 7,
                                        mean_accuracy=(2 / 3 + 2 / 3 + 1) / 3,
                                        base_miou=(1 / 2 + 2 / 3) / 2, novel_miou=-1.))
    assert set(segmentation_scores(np.zeros((2, 2), int)).values()) == {-1.}


def test_panoptic_quality_by_hand():
    truth = Segments(np.array([[1, 1, 1, 2, 2, 0]]), {1: 0, 2: 1})
    found = Segments(np.array([[5, 5, 6, 7, 7, 7]]), {5: 0, 6: 0, 7: 1})
    rows = panoptic_counts(truth, found, 3)
    # 5 covers two of three; 6 is one too many; 7 lies on 2 and on what nobody labelled.
    assert rows.tolist() == [[1, pytest.approx(2 / 3), 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    scores = panoptic_scores(rows, [True, False, False])
    assert scores['thing_pq'] == pytest.approx(2 / 3 / 1.5) and scores['stuff_pq'] == 1
    assert scores['pq'] == pytest.approx((2 / 3 / 1.5 + 1) / 2)
    assert scores['thing_sq'] == pytest.approx(2 / 3) and scores['thing_rq'] == pytest.approx(2 / 3)
    assert set(panoptic_scores(np.zeros((2, 4)), [True, False]).values()) == {-1.}
    # Half of the union is no match.
    half = panoptic_counts(Segments(np.array([[1, 1]]), {1: 0}),
                           Segments(np.array([[3, 4]]), {3: 0, 4: 1}), 2)
    assert half.tolist() == [[0, 0, 1, 1], [0, 0, 1, 0]]


class _Entry:
    def __init__(self) -> None:
        self.tp, self.iou, self.fp, self.fn = 0, 0., 0, 0


@pytest.mark.parametrize('seed', range(4))
def test_as_panopticapi_counts(seed, tmp_path, monkeypatch):
    """mmdet has panopticapi's function, without the package's class of four numbers."""
    rng = np.random.RandomState(seed)

    def draw(count: int) -> tuple[np.ndarray, dict[int, int]]:
        ids = np.zeros((40, 50), np.int64)
        for number in range(1, count + 1):
            y, x = rng.randint(0, 30), rng.randint(0, 40)
            ids[y:y + rng.randint(5, 30), x:x + rng.randint(5, 40)] = number * 70000
        return ids, {number: rng.randint(3) for number in np.unique(ids).tolist() if number}

    (truth, labels), (found, named) = draw(9), draw(9)
    # Let some match.
    for number in list(labels)[:4]:
        found[truth == number], named[number + 1] = number + 1, labels[number]
    named = {number: label for number, label in named.items() if (found == number).any()}
    crowds = frozenset(list(labels)[-2:])
    for name, ids in (('truth', truth), ('found', found)):
        segment_picture(ids).save(tmp_path / f'{name}.png')
    monkeypatch.setattr(panoptic_utils, 'PQStat', lambda: defaultdict(_Entry))
    monkeypatch.setattr(panoptic_utils, 'rgb2id', lambda rgb: (
        rgb.astype(np.int64) @ np.array([1, 256, 65536])))
    infos = [dict(id=i, category_id=c, iscrowd=int(i in crowds), area=int((truth == i).sum()))
             for i, c in labels.items()]
    wanted = panoptic_utils.pq_compute_single_core(0, [(
        dict(image_id=1, file_name='truth.png', segments_info=infos),
        dict(image_id=1, file_name='found.png', segments_info=[
            dict(id=i, category_id=c) for i, c in named.items()]))],
        str(tmp_path), str(tmp_path), {0: {}, 1: {}, 2: {}})
    rows = panoptic_counts(Segments(truth, labels, crowds), Segments(found, named), 3)
    assert rows[:, 0].sum() >= 2 and rows[:, 2].any()
    for label, row in enumerate(rows):
        entry = wanted[label]
        assert row.tolist() == pytest.approx([entry.tp, entry.iou, entry.fp, entry.fn])


def test_masks_of_one_stuff_class_become_one():
    ids = np.array([[4, 5, 6, 0, 9]])
    found = joined_stuff(ids, [4, 5, 6], [1, 1, 0], [True, False])
    assert found.ids.tolist() == [[4, 4, 6, 0, 0]] and found.labels == {4: 1, 6: 0}
    things = joined_stuff(ids, [4, 5, 6], [1, 1, 0], [True, True])
    assert things.ids.tolist() == [[4, 5, 6, 0, 0]]


def panoptic_sample(image_id: int, given: bool = False, labels=(0, 1)) -> dict:
    ids = torch.tensor([[[1, 1, 2, 2, 0]]], dtype=torch.int32)
    sample = dict(img_id=image_id, text=('cat', 'sky'), things=(True, False), img_path='a.jpg',
                  gt_segment_map=dict(ids=ids), pred_regions=InstanceData(
                      labels=torch.tensor(labels)),
                  gt_regions=InstanceData(ids=torch.tensor([1, 2]), labels=torch.tensor([0, 1]),
                                          crowds=torch.tensor([False, False])))
    if given:
        sample.update(given_segment_map=dict(ids=ids + 6), given_regions=InstanceData(
            ids=torch.tensor([7, 8])))
    return sample


def test_the_metrics_count_an_image_once():
    metric = PanopticMetric()
    metric.process(None, [panoptic_sample(1), panoptic_sample(1),
                          panoptic_sample(2, labels=(0, 0))])
    scores = metric.evaluate(3)
    assert scores['panoptic/stuff_pq'] == pytest.approx(1 / 1.5)
    assert scores['panoptic/thing_pq'] == pytest.approx(2 / 2.5)
    assert 'annotated masks of 2 images' in metric.protocol
    metric.process(None, [panoptic_sample(1, True)])
    assert metric.evaluate(1)['panoptic/pq'] == 1 and 'given masks of 1' in metric.protocol
    semantic = SemanticMetric(groups=dict(novel=['sky']))
    labels = torch.tensor([[[0, 1, -1]]])
    for number in (1, 1, 2):
        semantic.process(None, [dict(
            img_id=number, text=('cat', 'sky'), img_path='a.jpg',
            gt_sem_seg=dict(sem_seg=labels), pred_sem_seg=dict(
                sem_seg=torch.zeros(1, 1, 3, dtype=torch.int32)))])
    scores = semantic.evaluate(3)
    assert scores['segment/miou'] == .25 and scores['segment/novel_miou'] == 0
    assert 'IoU of 4 pixels of 2 images over 2 names' in semantic.protocol


def test_models_that_answer_nothing():
    plain = dict(img_id=1, text=('cat', 'sky'), img_path='a.jpg')
    for metric, more, words in (
            (SemanticMetric(), {}, 'samples with gt_sem_seg'),
            (SemanticMetric(), dict(gt_sem_seg=dict(sem_seg=torch.zeros(1, 2, 2))),
             'test a model with a dense map'),
            (PanopticMetric(), {}, 'no gt_regions'),
            (PanopticMetric(), {k: v for k, v in panoptic_sample(1).items()
                                if k != 'pred_regions'}, 'test a model with a dense map')):
        with pytest.raises(UserError, match=words):
            metric.process(None, [{**plain, **more}])


LOAD = dict(type='glipkit.LoadImage')


@pytest.fixture
def files(tmp_path):
    """An image of 6 x 4 pixels, its labels and its segments, and a function that reads them."""
    for name in ('img', 'labels', 'seg'):
        (tmp_path / name).mkdir()
    Image.new('RGB', (6, 4)).save(tmp_path / 'img/a.png')
    labels = np.zeros((4, 6), np.uint8)
    labels[:2], labels[3, 0] = 1, 2
    Image.fromarray(labels).save(tmp_path / 'labels/a.png')
    segment_picture(labels.astype(np.int32)).save(tmp_path / 'seg/a.png')
    segments = [dict(id=1, category_id=3, bbox=[0, 0, 6, 2]), dict(id=2, category_id=5)]
    content = dict(images=[dict(id=1, file_name='a.png')], categories=[
        dict(id=5, name='sky', isthing=0), dict(id=3, name='cat', isthing=1)],
        annotations=[dict(image_id=1, file_name='a.png', segments_info=segments)])
    (tmp_path / 'p.json').write_text(json.dumps(content))

    def read(kind: str, **options):
        common = dict(data_root=str(tmp_path), test_mode=True)
        if kind == 'labels':
            data = SemanticLabels(**{**dict(
                metainfo=dict(classes=['cat', 'sky']), image_suffix='.png',
                data_prefix=dict(img='img', seg='labels'), **common,
                pipeline=[LOAD, dict(type='glipkit.LoadLabels'),
                          dict(type='glipkit.PackGrounding')]), **options})
        else:
            data = CocoPanoptic('p.json', **{**dict(
                data_prefix=dict(img='img', seg='seg'), **common,
                pipeline=[LOAD, dict(type='glipkit.LoadSegments'),
                          dict(type='glipkit.PackGrounding')]), **options})
        return data[0]['data_samples']

    return tmp_path, content, read


def test_label_files_are_read_by_their_convention(files):
    folder, _, read = files
    sample = read('labels')
    assert sample.gt_sem_seg.sem_seg[0, :, 0].tolist() == [0, 0, -1, 1]
    assert sample.text == ('cat', 'sky') and sample.ask['answer'] == 'pixels'
    sample = read('labels', convention='coco-stuff', metainfo=dict(classes=['a', 'b', 'c']))
    assert sample.gt_sem_seg.sem_seg[0, :, 0].tolist() == [1, 1, 0, 2]
    sample = read('labels', convention=dict(ignore=0, values=(2, 1)))
    assert sample.gt_sem_seg.sem_seg[0, :, 0].tolist() == [1, 1, -1, 0]
    sample = read('segments')
    assert sample.gt_regions.ids.tolist() == [1, 2] and sample.gt_regions.labels.tolist() == [0, 1]
    assert sample.gt_regions.kinds == ['thing', 'stuff'] and sample.things == (True, False)


def spoil(folder, content, what):
    if what == 'size':
        Image.new('L', (6, 5)).save(folder / 'labels/a.png')
        Image.new('RGB', (5, 4)).save(folder / 'seg/a.png')
    elif what == 'values':
        Image.new('L', (6, 4), 9).save(folder / 'labels/a.png')
        Image.new('RGB', (6, 4), (1, 2, 0)).save(folder / 'seg/a.png')
    elif what == 'mode':
        Image.new('RGB', (6, 4)).save(folder / 'labels/a.png')
        Image.new('L', (6, 4)).save(folder / 'seg/a.png')
    elif what == 'damage':
        for name in ('labels', 'seg'):
            (folder / name / 'a.png').write_bytes((folder / name / 'a.png').read_bytes()[:50])


@pytest.mark.parametrize(('what', 'words'), [
    ('size', r'labels of 6 x 4 pixels, as the image has; got .*a\.png of'),
    ('values', r'(values of 2 classes|ids of the segments that the json lists).*(9|513)'),
    ('mode', r'of (one|three) channels?; got .* of mode'), ('damage', 'damaged')])
def test_bad_pictures_of_labels(files, what, words):
    folder, content, read = files
    spoil(folder, content, what)
    for kind in ('labels', 'segments'):
        with pytest.raises(UserError, match=words) as caught:
            read(kind)
        assert '\n' not in str(caught.value) and 'a.png' in str(caught.value)


def test_bad_arguments_and_records(files):
    folder, content, read = files
    for options, words in ((dict(convention='cityscapes'), 'a convention'),
                           (dict(convention=dict(ignore=1)), 'a value for each of 2 classes'),
                           (dict(metainfo=dict()), 'class names'),
                           (dict(metainfo=dict(classes='voc')), 'ade20k, coco-stuff'),
                           (dict(image_suffix='.jpg'), 'images with a label PNG'),
                           (dict(data_prefix=dict(img='img')), "the keys 'img' and 'seg'")):
        with pytest.raises(UserError, match=words):
            read('labels', **options)
    for change, words in (
            (lambda c: c['annotations'][0]['segments_info'][0].update(id=0), 'segment ids from 1'),
            (lambda c: c['annotations'][0]['segments_info'][0].update(id=2), 'one twice'),
            (lambda c: c['annotations'][0]['segments_info'][1].update(category_id=4),
             'listed categories'),
            (lambda c: c['categories'][0].pop('isthing'), 'isthing 0 or 1'),
            (lambda c: c.pop('categories'), 'without categories')):
        spoilt = json.loads(json.dumps(content))
        change(spoilt)
        (folder / 'p.json').write_text(json.dumps(spoilt))
        with pytest.raises(UserError, match=words):
            read('segments')


def test_masks_of_somebody_else(files):
    folder, content, read = files
    (folder / 'sam').mkdir()
    Image.new('RGB', (6, 4), (4, 0, 0)).save(folder / 'sam/a.png')
    segments = dict(image_id=1, file_name='a.png', segments_info=[dict(id=4)])
    (folder / 'sam.json').write_text(json.dumps(dict(annotations=[segments])))
    sample = read('segments', masks=dict(ann_file='sam.json', seg='sam'))
    assert sample.given_regions.ids.tolist() == [4]
    assert (sample.given_segment_map.ids == 4).all()
    (folder / 'sam.json').write_text(json.dumps(dict(annotations=[])))
    with pytest.raises(UserError, match='masks for every image'):
        read('segments', masks=dict(ann_file='sam.json', seg='sam'))


#: What a config must have beside a model for `glipkit test --data`, and what it may have from a
#: base: something to train on, and nothing that says how.
TESTING = """
train_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DrawSampler'),
    dataset=dict(type='MixedDataset', datasets=[]))
param_scheduler = [dict(type='ConstantLR')]
val_evaluator = dict(type='glipkit.SemanticMetric')
test_dataloader = dict(
    num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline))
test_evaluator = dict(type='glipkit.SemanticMetric')
"""


@pytest.mark.slow
def test_the_commands_data_sets(tmp_path, capsys):
    """A world's pixels, by the data set that ``glipkit test --data`` takes."""
    things.build(tmp_path / 'things', num_train_det=1, num_train_grd=1, num_val=2, image_size=96,
                 masks=True)
    config = tmp_path / 'tiny.py'
    config.write_text(TINY_CONFIG + TESTING)
    assert main(['test', str(config), 'random', '--data', 'things_semantic',
                 '--work-dir', str(tmp_path / 'work'), '--out', str(tmp_path / 'found.json'),
                 '--cfg-options', f'test_dataloader.dataset.data_root={tmp_path / "things"}/']) == 0
    assert 'segment/miou' in capsys.readouterr().out
    assert 'of 2 images over 42 names' in (tmp_path / 'found.json').read_text()
