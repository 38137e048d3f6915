"""Class lists of OV-COCO and OV-LVIS, and data sets that train on base classes only."""
import json
from collections import Counter

import pytest
from mmdet.datasets import LVISV1Dataset
from mmengine.dataset import ClassBalancedDataset

from glipkit.data import CocoDetection, LvisDetection, MixedDataset
from glipkit.errors import UserError
from glipkit.text.splits.open_vocabulary import class_split, split_classes


def test_ov_coco_has_48_base_and_17_novel_classes_in_the_order_of_their_ids():
    split = class_split('ov-coco')
    assert {group: len(names) for group, names in split.members.items()} == {
        'base': 48, 'novel': 17, 'all': 65}
    assert split.classes[:6] == ('person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus')
    assert set(split.members['base']) | set(split.members['novel']) == set(split.classes)
    assert split.members['novel'] == tuple(
        'airplane bus cat dog cow elephant umbrella tie snowboard skateboard cup knife cake couch '
        'keyboard sink scissors'.split())
    assert set(split.groups) == {'base', 'novel'}


def test_ov_lvis_has_the_classes_of_lvis_and_their_letters():
    split = class_split('ov-lvis')
    assert {group: len(names) for group, names in split.members.items()} == {
        'base': 866, 'novel': 337, 'frequent': 405, 'common': 461, 'rare': 337, 'all': 1203}
    assert split.members['novel'] == split.members['rare']
    own, theirs = split.classes, LVISV1Dataset.METAINFO['classes']
    # The annotation files have the slip, and classes are found by name.
    assert [pair for pair in zip(own, theirs) if pair[0] != pair[1]] == [
        ('speaker_(stero_equipment)', 'speaker_(stereo_equipment)')]
    assert 'airplane' in split.members['frequent'] and 'baboon' in split.members['rare']


@pytest.mark.parametrize('address, said', [
    ('ov-voc/base', 'ov-voc'), ('ov-coco/rare', 'ov-coco/rare'), ('ov-coco', 'ov-coco')])
def test_unknown_lists_are_refused(address, said):
    with pytest.raises(UserError, match=said):
        split_classes(address)


@pytest.fixture
def coco_file(tmp_path):
    """One picture with a base box, one with a novel box, one with both, one with neither."""
    names = {1: 'person', 5: 'airplane', 17: 'cat', 11: 'fire hydrant'}
    boxes = [(1, 1), (2, 5), (3, 17), (3, 1), (3, 1), (4, 11)]
    content = dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=64, height=48) for i in (1, 2, 3, 4)],
        categories=[dict(id=i, name=name) for i, name in names.items()]
        + [dict(id=100 + i, name=name) for i, name in enumerate(
            sorted(set(class_split('ov-coco').classes) - set(names.values())))],
        annotations=[dict(id=k, image_id=i, category_id=c, bbox=[k, 4, 20, 20], iscrowd=0)
                     for k, (i, c) in enumerate(boxes, 1)])
    (tmp_path / 'ovd_ins_train2017_all.json').write_text(json.dumps(content))
    return tmp_path


def build(folder, cls=CocoDetection, **kwargs):
    return cls('ovd_ins_train2017_all.json', data_root=str(folder), **kwargs)


def labels_of(data):
    return {data.get_data_info(i)['img_id']: data.get_cat_ids(i) for i in range(len(data))}


def test_training_drops_novel_boxes_and_testing_asks_for_all(coco_file):
    filters = dict(filter_empty_gt=True)
    train = build(coco_file, metainfo=dict(classes='ov-coco/base'), filter_cfg=filters)
    assert train.metainfo['classes'] == split_classes('ov-coco/base')
    assert labels_of(train) == {1: [0], 3: [0, 0]}, 'novel boxes are gone, and labels are of 48'
    test = build(coco_file, metainfo=dict(classes='ov-coco/all'), test_mode=True,
                 filter_cfg=dict(filters, in_test=True))
    assert len(test.get_data_info(0)['text']) == 65
    assert labels_of(test) == {1: [0], 2: [4], 3: [11, 0, 0]}
    assert len(build(coco_file, test_mode=True, filter_cfg=filters)) == 4, 'tests keep all by rule'


def test_boxes_beyond_the_most_are_left_out_in_training_only(coco_file):
    assert labels_of(build(coco_file, max_boxes=2, metainfo=dict(classes='ov-coco/all')))[3] == [
        11, 0]
    kept = build(coco_file, max_boxes=2, metainfo=dict(classes='ov-coco/all'), test_mode=True)
    assert len(labels_of(kept)[3]) == 3
    with pytest.raises(UserError, match='max_boxes'):
        build(coco_file, max_boxes=0)


def test_rare_boxes_of_lvis_are_dropped_by_the_frequency_letter(tmp_path):
    names = class_split('ov-lvis').classes
    ids = {name: i for i, name in enumerate(names, 1)}
    content = dict(
        images=[dict(id=i, coco_url=f'http://x/train2017/{i:012d}.jpg', width=64, height=48,
                     neg_category_ids=[ids['baboon'], ids['bear']], not_exhaustive_category_ids=[])
                for i in (1, 2)],
        categories=[dict(id=i, name=name) for name, i in ids.items()],
        annotations=[dict(id=k, image_id=i, category_id=ids[c], bbox=[1, 4, 20, 20]) for k, (i, c)
                     in enumerate([(1, 'apricot'), (2, 'apricot'), (2, 'apple')], 1)])
    (tmp_path / 'ovd_ins_train2017_all.json').write_text(json.dumps(content))
    data = build(tmp_path, LvisDetection, metainfo=dict(classes='ov-lvis/base'),
                 filter_cfg=dict(filter_empty_gt=True))
    base = split_classes('ov-lvis/base')
    assert labels_of(data) == {2: [base.index('apple')]}
    assert data.get_data_info(0)['absent_labels'] == [base.index('bear')]


def test_repeat_factor_sampling_repeats_pictures_of_rare_classes(coco_file):
    data = build(coco_file, metainfo=dict(classes='ov-coco/all'),
                 filter_cfg=dict(filter_empty_gt=True))
    # person: 2 of 3 pictures, once; airplane and cat: 1 of 3, sqrt(.5 / (1/3)) = 1.2, twice
    repeated = ClassBalancedDataset(data, oversample_thr=.5)
    seen = Counter(repeated.get_data_info(i)['img_id'] for i in range(len(repeated)))
    assert seen == {1: 1, 2: 2, 3: 2}


def test_repeated_pictures_in_a_mixed_set(coco_file, write_image):
    for number in range(1, 5):
        write_image(f'{number}.jpg', 64, 48)
    pipeline = [dict(type='LoadImageFromFile', imdecode_backend='pillow'),
                dict(type='glipkit.PackGrounding')]
    base = dict(type='glipkit.CocoDetection', ann_file='ovd_ins_train2017_all.json',
                data_root=str(coco_file), data_prefix=dict(img='images'), pipeline=pipeline,
                metainfo=dict(classes='ov-coco/all'), filter_cfg=dict(filter_empty_gt=True))
    mixed = MixedDataset([dict(type='mmdet.ClassBalancedDataset', oversample_thr=.5, dataset=base)])
    assert Counter(mixed[i]['data_samples'].img_id for i in range(len(mixed))) == {1: 1, 2: 2, 3: 2}
    assert len(mixed.metainfo['classes']) == 65


def test_masks_reach_the_sample_in_the_frame_of_its_boxes(tmp_path, write_image, write_json):
    write_image('a.png', 64, 48)
    outline = [[10., 4., 30., 4., 30., 24., 10., 24.]]
    annotation = dict(id=1, image_id=1, category_id=1, bbox=[10, 4, 20, 20], area=400, iscrowd=0,
                      segmentation=outline)
    content = dict(images=[dict(id=1, file_name='a.png', width=64, height=48)],
                   categories=[dict(id=1, name='cat')], annotations=[annotation])
    pipeline = [dict(type='LoadImageFromFile', imdecode_backend='pillow'),
                dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True,
                     poly2mask=False),
                dict(type='glipkit.ShortSideResize', scale=(200, 96)),
                dict(type='mmdet.RandomFlip', prob=1.), dict(type='glipkit.PackGrounding')]
    common = dict(data_root=str(tmp_path), data_prefix=dict(img='images'), with_masks=True)
    write_json('ann.json', content)
    found = CocoDetection('ann.json', pipeline=pipeline, **common)[0]['data_samples'].gt_instances
    assert found.bboxes.tolist() == [[68, 8, 108, 48]]
    assert found.masks.get_bboxes('hbox').tensor.tolist() == [[68, 8, 108, 48]]
    write_json('ann.json', {**content, 'annotations': [{**annotation, 'segmentation': []}]})
    with pytest.raises(UserError, match='with_masks'):
        CocoDetection('ann.json', **common)
