"""The pixels of things: what is seen, in COCO panoptic files and label PNGs."""
from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config

from glipkit.apis.build import build_model
from glipkit.data.formats.label_images import read_labels, read_segment_ids
from glipkit.data.formats.panoptic import CocoPanoptic
from glipkit.data.formats.semantic import SemanticLabels
from glipkit.evaluation.metrics.segmentation import PanopticMetric, SemanticMetric
from glipkit.testing.tiny_dense_clip import TINY_CONFIG
from glipkit.testing.toy_stamps import draw_toy_stamps
from glipkit.worlds import shapes, stamps, things
from glipkit.worlds.captions import Thing
from glipkit.worlds.mask_files import draw_masks
from glipkit.worlds.patches import Cover


def test_later_things_hide_earlier_ones():
    block = np.ones((2, 3), np.float32)
    shadow = np.array([[1, .3], [1, .6]], np.float32)  # of which the soft part is no thing
    found = [Thing(('a',), (0, 0, 3, 2), Cover(block, 0, 0)),
             Thing(('b',), (2, 0, 4, 2), Cover(shadow, 2, 0)),
             Thing(('a',), (2, 0, 3, 2), Cover(np.ones((2, 2), np.float32), 2, 0))]
    numbers, labels, segments = draw_masks(found, (3, 5), {'a': 7, 'b': 9})
    assert numbers.tolist() == [[1, 1, 3, 3, 0], [1, 1, 3, 3, 0], [0] * 5]
    assert labels.tolist() == [[7, 7, 7, 7, 0], [7, 7, 7, 7, 0], [0] * 5]
    assert segments == [dict(id=1, category_id=7, iscrowd=0, area=4, bbox=[0, 0, 2, 2]),
                        dict(id=3, category_id=7, iscrowd=0, area=4, bbox=[2, 0, 2, 2])]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    things.build(folder, num_train_det=2, num_train_grd=1, num_val=3, image_size=96, masks=True)
    return folder


def data_sets(folder):
    common = dict(data_root=str(folder), test_mode=True)
    resize = [dict(type='glipkit.LongSideResize', size=64), dict(type='glipkit.PackGrounding')]
    load = dict(type='glipkit.LoadImage')
    yield SemanticMetric(), SemanticLabels(
        metainfo=dict(classes='annotations/classes.txt'), **common,
        data_prefix=dict(img='images/val', seg='annotations/labels/val'),
        pipeline=[load, dict(type='glipkit.LoadLabels'), *resize])
    yield PanopticMetric(), CocoPanoptic(
        'annotations/panoptic_val.json', **common,
        data_prefix=dict(img='images/val', seg='annotations/panoptic/val'),
        pipeline=[load, dict(type='glipkit.LoadSegments'), *resize])


def test_both_kinds_of_files_are_read_and_scored(world):
    model = build_model(Config.fromstring(TINY_CONFIG, '.py')).eval()
    for metric, data in data_sets(world):
        assert len(data) == 3
        for item in data:
            batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
            sample, = model.test_step(batch)
            metric.process(None, [sample.to_dict()])
        scores = metric.evaluate(3)
        assert all(-1 <= value <= 1 for value in scores.values()) and str(3) in metric.protocol
    assert scores['panoptic/thing_pq'] == scores['panoptic/pq'] >= 0
    assert scores['panoptic/stuff_pq'] == -1  # there is none


def test_the_files_agree_with_the_boxes(world):
    boxes = json.loads((world / 'annotations/val.json').read_text())
    content = json.loads((world / 'annotations/panoptic_val.json').read_text())
    names = (world / 'annotations/classes.txt').read_text().splitlines()
    assert [one['name'] for one in content['categories']] == names
    for record in content['annotations']:
        ids = read_segment_ids(world / 'annotations/panoptic/val' / record['file_name'])
        labels = read_labels(world / 'annotations/labels/val' / record['file_name'])
        own = [one for one in boxes['annotations'] if one['image_id'] == record['image_id']]
        for segment in record['segments_info']:
            whole = own[segment['id'] - 1]
            assert segment['category_id'] == whole['category_id']
            assert set(labels[ids == segment['id']].tolist()) == {segment['category_id']}
            inner, outer = np.array(segment['bbox']), np.array(whole['bbox'])
            assert (inner[:2] >= outer[:2] - 1).all()
            assert (inner[:2] + inner[2:] <= outer[:2] + outer[2:] + 1).all()
            assert segment['area'] == (ids == segment['id']).sum()


@pytest.mark.parametrize('kind', ['shapes', 'stamps'])
def test_masks_change_no_picture(kind, tmp_path):
    folders = []
    for masks in (False, True):
        folder = tmp_path / f'world{masks}'
        more = dict(stamps_dir=draw_toy_stamps(tmp_path / 'stamps')) if kind == 'stamps' else {}
        manifest = {'shapes': shapes, 'stamps': stamps}[kind].build(
            folder, num_train_det=1, num_train_grd=1, num_val=1, image_size=96, masks=masks, **more)
        assert ('masks' in manifest['settings']) == masks
        folders.append(folder)
    for path in folders[0].rglob('*.jpg'):
        other = folders[1] / path.relative_to(folders[0])
        assert path.read_bytes() == other.read_bytes()
    assert not (folders[0] / 'annotations/panoptic').exists()
    assert (folders[1] / 'annotations/labels/train_grd/000001.png').exists()
