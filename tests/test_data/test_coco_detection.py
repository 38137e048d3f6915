import pytest

from glipkit.data import CocoDetection
from glipkit.errors import UserError

CATEGORIES = [(7, 'cat'), (0, 'dog'), (90, 'traffic light')]  # gaps, 0, and not in order
IMAGES = [(11, 'a.png', 100, 80), (4, 'sub/b.png', 50, 60)]


@pytest.fixture
def build(tmp_path, write_json, coco):
    (tmp_path / 'images').mkdir()

    def make(annotations=(), content=None, **kwargs):
        default = coco(IMAGES, annotations, CATEGORIES)
        write_json('ann.json', default if content is None else content)
        return CocoDetection('ann.json', data_root=str(tmp_path), data_prefix=dict(img='images'),
                             **kwargs)

    return make


def boxes(sample):
    return [(i['bbox'], i['bbox_label'], i['ignore_flag']) for i in sample['instances']]


def test_labels_follow_the_ids_and_boxes_are_exclusive(build, tmp_path):
    data = build([(11, 7, [10, 20, 30, 40]), (11, 0, [0, 0, 100, 80]), (11, 90, [1.5, 2, 3, 4])])
    assert len(data) == 2
    sample = data.get_data_info(0)
    assert sample['text'] == ('dog', 'cat', 'traffic light')
    assert data.metainfo['classes'] == ('dog', 'cat', 'traffic light')
    assert boxes(sample) == [([10, 20, 40, 60], 1, 0), ([0, 0, 100, 80], 0, 0),
                             ([1.5, 2, 4.5, 6], 2, 0)]
    assert (sample['img_id'], sample['height'], sample['width']) == (11, 80, 100)
    empty = data.get_data_info(1)
    assert empty['instances'] == [] and empty['img_id'] == 4
    assert empty['img_path'] == str(tmp_path / 'images' / 'sub/b.png')
    assert data.get_cat_ids(0) == [1, 0, 2]


def test_a_super_category_without_a_box_is_no_class(build, coco, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.data.formats.coco.print_log', lambda text, *_: log.append(text))
    content = coco(IMAGES, [(11, 7, [10, 20, 30, 40]), (11, 90, [1, 2, 30, 30])],
                   [(0, 'street'), (7, 'car'), (90, 'bus'), (95, 'van'), (96, 'none')])
    kinds = {0: 'none', 7: 'street', 90: 'bus', 95: 'bus', 96: 'none'}
    for record in content['categories']:
        record['supercategory'] = kinds[record['id']]
    data = build(content=content)
    # 'street' is no thing; 'bus' has a box; 'van' is nobody's kind; 'none' is that of 'street'.
    assert data.metainfo['classes'] == ('car', 'bus', 'van')
    assert boxes(data.get_data_info(0)) == [([10, 20, 40, 60], 0, 0), ([1, 2, 31, 32], 1, 0)]
    assert "dropped: 1 super-category without a box ('none'), 1 super-category without a box " \
           "('street')" in log[0]
    asked = build(content=content, metainfo=dict(classes=['street', 'car']))
    assert asked.metainfo['classes'] == ('street', 'car') and "('street')" not in log[1]
    # Where nothing has a box, nothing can be told: the public test sets.
    content['annotations'] = []
    assert len(build(content=content, test_mode=True).metainfo['classes']) == 5


def test_crowds_are_dropped_in_training_and_ignored_in_test(build):
    annotations = [(11, 7, [10, 20, 30, 40], 1), (11, 0, [1, 1, 9, 9])]
    assert boxes(build(annotations).get_data_info(0)) == [([1, 1, 10, 10], 0, 0)]
    assert boxes(build(annotations, test_mode=True).get_data_info(0)) == [
        ([10, 20, 40, 60], 1, 1), ([1, 1, 10, 10], 0, 0)]


def test_boxes_are_clipped_and_losses_reported_in_one_line(build, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.data.formats.coco.print_log', lambda text, *_: log.append(text))
    data = build([(11, 0, [-5, -5, 15, 15]), (11, 0, [90, 70, 30, 30]), (11, 0, [5, 5, 0, 9]),
                  (11, 0, [5, 5, 1, 9]), (11, 0, [200, 5, 9, 9]), (11, 0, [9, 9, -4, 5]),
                  (999, 0, [1, 1, 9, 9]), (4, 7, [0, 0, 9, 9], 1)])
    assert [b for b, _, _ in boxes(data.get_data_info(0))] == [[0, 0, 10, 10], [90, 70, 100, 80]]
    assert len(log) == 1
    assert log[0].endswith('2 images, 2 boxes, 3 classes; dropped: 1 boxes of images that are '
                           'not listed, 1 crowd boxes, 4 degenerate boxes')


def test_sizes_may_be_strings_or_absent(build, coco):
    content = coco(IMAGES, [(11, 0, [90, 70, 30, 30]), (4, 0, [40, 50, 30, 30])], CATEGORIES)
    content['images'][0].update(width='100', height='80')
    del content['images'][1]['width'], content['images'][1]['height']
    data = build(content=content)
    assert boxes(data.get_data_info(0))[0][0] == [90, 70, 100, 80]
    assert boxes(data.get_data_info(1))[0][0] == [40, 50, 70, 80]
    assert 'width' not in data.get_data_info(1)


def test_filter_is_off_by_default_and_on_request_in_training(build):
    annotations = [(4, 0, [1, 1, 9, 9])]
    assert len(build(annotations)) == 2
    only_b = build(annotations, filter_cfg=dict(filter_empty_gt=True))
    assert [only_b.get_data_info(i)['img_id'] for i in range(len(only_b))] == [4]
    assert len(build(annotations, filter_cfg=dict(min_size=55))) == 1
    assert len(build(annotations, filter_cfg=dict(filter_empty_gt=True), test_mode=True)) == 2
    with pytest.raises(UserError, match='at least one image'):
        build(filter_cfg=dict(filter_empty_gt=True))
    with pytest.raises(UserError, match='filter_empty'):
        build(filter_cfg=dict(filter_emtpy_gt=True))


def test_a_subset_of_classes_in_the_given_order(build):
    annotations = [(11, 90, [1, 1, 9, 9]), (11, 0, [1, 1, 9, 9]), (11, 7, [2, 2, 9, 9])]
    data = build(annotations, metainfo=dict(classes=['traffic light', 'cat']))
    assert data.get_data_info(0)['text'] == ('traffic light', 'cat')
    assert [label for _, label, _ in boxes(data.get_data_info(0))] == [0, 1]
    with pytest.raises(UserError, match='trafic'):
        build(annotations, metainfo=dict(classes=['trafic light']))


def test_test_sets_without_annotations(build, coco):
    content = coco(IMAGES, [], CATEGORIES)
    del content['annotations']
    assert len(build(content=content, test_mode=True)) == 2
    with pytest.raises(UserError, match='annotations'):
        build(content=content)


def edit(key, index, **changes):

    def apply(content):
        content[key][index].update(changes)

    return apply


@pytest.mark.parametrize('damage, message', [
    (edit('annotations', 0, bbox=[1, 2, 3]), r'annotations\[0\].*\[1, 2, 3\]'),
    (edit('annotations', 0, bbox=[1, 2, float('nan'), 3]), 'finite'),
    (edit('annotations', 0, bbox=[1, 2, 'x', 3]), 'finite'),
    (edit('annotations', 0, bbox=None), r'annotations\[0\]'),
    (edit('annotations', 0, category_id=3), 'category_id 3'),
    (edit('annotations', 0, image_id=None), 'image_id'),
    (edit('images', 1, id=11), 'id 11 again'),
    (edit('images', 1, file_name=''), 'file_name'),
    (edit('images', 1, width=0), 'width'),
    (edit('images', 1, width='wide'), 'width'),
    (edit('categories', 1, id=7), 'id 7 again'),
    (edit('categories', 1, name='cat'), "'cat' again"),
    (edit('categories', 1, name='(?)'), 'letter'),
    (edit('categories', 1, name=5), 'strings'),
    (lambda c: c.update(categories=[]), 'at least one class'),
    (lambda c: c.pop('images'), 'images'),
    (lambda c: c['images'].__setitem__(0, 'a.png'), r'images\[0\]'),
])
def test_damage_is_named(build, coco, damage, message):
    content = coco(IMAGES, [(11, 0, [1, 1, 9, 9])], CATEGORIES)
    damage(content)
    with pytest.raises(UserError, match=message) as caught:
        build(content=content)
    assert 'ann.json' in str(caught.value)


@pytest.mark.parametrize('text', ['{"images": [}', '[1, 2]', '', '\x00', '[' * 100000])
def test_no_json_is_named(build, text):
    with pytest.raises(UserError, match='ann.json'):
        build(content=text)


def test_missing_files_are_named(tmp_path, build, write_json):
    with pytest.raises(UserError, match='nowhere.json'):
        CocoDetection('nowhere.json', data_root=str(tmp_path))
    build()
    with pytest.raises(UserError, match='no folder .*photos'):
        CocoDetection('ann.json', data_root=str(tmp_path), data_prefix=dict(img='photos'))
    with pytest.raises(UserError, match='data_prefix'):
        CocoDetection('ann.json', data_root=str(tmp_path), data_prefix=dict(image='images'))


@pytest.mark.parametrize('value, crowd', [(0, False), (1, True), ('0', False), ('1', True),
                                          (None, False), (True, True), (1.0, True)])
def test_crowds_are_told_by_numbers_and_digits(build, coco, value, crowd):
    content = coco(IMAGES, [(11, 7, [10, 20, 30, 40])], CATEGORIES)
    content['annotations'][0]['iscrowd'] = value
    found = build(content=content, test_mode=True).get_data_info(0)['instances']
    assert [i['ignore_flag'] for i in found] == [int(crowd)]


@pytest.mark.parametrize('value', ['yes', [0], {}])
def test_other_crowd_flags_are_refused(build, coco, value):
    content = coco(IMAGES, [(11, 7, [10, 20, 30, 40])], CATEGORIES)
    content['annotations'][0]['iscrowd'] = value
    with pytest.raises(UserError, match=r'iscrowd as 0 or 1; got .*annotations\[0\]'):
        build(content=content)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path, write_json, coco):
    path = tmp_path / 'bom.json'
    text = open(write_json('ann.json', coco(IMAGES, [(11, 7, [1, 2, 30, 40])], CATEGORIES))).read()
    path.write_bytes(b'\xef\xbb\xbf' + text.replace('\n', '\r\n').encode())
    data = CocoDetection(str(path))
    assert len(data) == 2 and len(data.get_data_info(0)['instances']) == 1


def test_ids_have_at_most_64_bits(build, coco):
    largest = (1 << 63) - 1
    content = coco([(largest, 'a.png', 100, 80)], [(largest, largest, [1, 2, 30, 40])],
                   [(largest, 'cat')])
    assert build(content=content).get_data_info(0)['img_id'] == largest
    content['images'][0]['id'] = largest + 1
    with pytest.raises(UserError, match='at most 64 bits'):
        build(content=content)
