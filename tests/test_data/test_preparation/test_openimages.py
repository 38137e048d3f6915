"""OpenImages, from small files with the release's columns."""
import json

import pytest
from PIL import Image

from glipkit.cli.main import door
from glipkit.data import CocoDetection, OdvgGrounding
from glipkit.data.formats.lvis import LvisDetection
from glipkit.data.preparation.sources import openimages

CLASSES = '/m/0jbk,Animal\n/m/0bt9lr,Dog\n/m/0k4j,Car\n/m/0h9mv,"Tire, rubber"\n/m/01yrx,Cat\n'
HEADER = ('ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,'
          'IsGroupOf,IsDepiction,IsInside\n')
BOXES = HEADER + (
    '0001eeaf4aed83f9,xclick,/m/0bt9lr,1,0.25,0.75,0.1,0.9,0,0,0,0,0\n'
    '000595fe6fee6369,xclick,/m/0k4j,1,0,0.5,0,1,0,0,1,0,0\n'
    '0001eeaf4aed83f9,xclick,/m/01yrx,1,0,0.001,0,1,-1,-1,-1,-1,-1\n'
    '0001eeaf4aed83f9,xclick,/m/0k4j,1,0.5,1,0.5,1,1,0,0,1,0\n'
    '000595fe6fee6369,xclick,/m/99999,1,0,0.5,0,1,0,0,0,0,0\n'
    'ffffffffffffffff,xclick,/m/0k4j,1,0,0.5,0,1,0,0,0,0,0\n')
SIZES = 'ImageID,Width,Height\n0001eeaf4aed83f9,200,100\n000595fe6fee6369,80,60\n'
TREE = {'LabelName': '/m/0bl9f', 'Subcategory': [
    {'LabelName': '/m/0jbk',
     'Subcategory': [{'LabelName': '/m/0bt9lr'}, {'LabelName': '/m/01yrx'}]},
    {'LabelName': '/m/0k4j', 'Part': [{'LabelName': '/m/0h9mv'}]}]}


main = door('prepare', 'openimages')


@pytest.fixture
def command(tmp_path, write):
    """command('--option', ..., boxes=text): the exit code; without sizes but with the rest."""
    def call(*options, boxes=BOXES, classes=CLASSES):
        return main(['--boxes', write('boxes.csv', boxes), '--classes',
                     write('classes.csv', classes), '--out', str(tmp_path / 'out'), *options])

    return call


@pytest.fixture
def sizes(write):
    return ['--sizes', write('sizes.csv', SIZES)]


def test_training_lines_are_in_pixels(command, sizes, tmp_path, lines_of, manifest_of):
    assert command(*sizes) == 0
    out = tmp_path / 'out'
    assert lines_of(out / 'annotations/openimages_train.jsonl') == [
        dict(filename='0001eeaf4aed83f9.jpg', height=100, width=200, detection=dict(instances=[
            dict(bbox=[50, 10, 150, 90], label=1, category='Dog'),
            dict(bbox=[100, 50, 200, 100], label=2, category='Car')])),
        dict(filename='000595fe6fee6369.jpg', height=60, width=80, detection=dict(instances=[]))]
    dropped = manifest_of(out)['annotations/openimages_train.jsonl']['dropped']
    assert {reason: entry['count'] for reason, entry in dropped.items()} == {
        'boxes of classes not listed': 1, 'boxes of images of unknown size': 1,
        'degenerate boxes': 1, 'crowd boxes': 1}
    assert dropped['boxes of classes not listed']['examples'] == ['line 6 (/m/99999)']
    data = OdvgGrounding(str(out / 'annotations/openimages_train.jsonl'), serialize_data=False,
                         label_map_file=str(out / 'annotations/openimages_train_label_map.json'))
    assert data.metainfo['classes'] == ('Animal', 'Dog', 'Car', 'Tire, rubber', 'Cat')


def test_groups_are_crowds_of_a_coco_json(command, sizes, tmp_path):
    assert command(*sizes, '--split', 'val') == 0
    path = tmp_path / 'out/annotations/openimages_val.json'
    content = json.loads(path.read_text())
    assert [(a['iscrowd'], a['bbox']) for a in content['annotations']] == [
        (0, [50, 10, 100, 80]), (1, [0, 0, 40, 60]), (0, [0, 0, 0.2, 100]), (0, [100, 50, 100, 50])]
    assert content['categories'][3] == dict(id=4, name='Tire, rubber', machine_id='/m/0h9mv')
    data = CocoDetection(str(path), serialize_data=False, test_mode=True)
    assert [i['ignore_flag'] for i in data.get_data_info(1)['instances']] == [1]


LABELS = ('ImageID,Source,LabelName,Confidence\n'
          '0001eeaf4aed83f9,verification,/m/0jbk,1\n'
          '0001eeaf4aed83f9,verification,/m/0h9mv,0\n'
          '0001eeaf4aed83f9,verification,/m/0k4j,0\n'  # which has a box all the same
          '0001eeaf4aed83f9,verification,/m/99999,0\n'
          'eeeeeeeeeeeeeeee,verification,/m/0jbk,0\n')


def test_absent_classes_as_in_lvis(command, sizes, write, tmp_path, capsys):
    labels = ['--image-labels', write('labels.csv', LABELS)]
    assert command(*sizes, *labels, '--layout', 'coco') == 0
    path = tmp_path / 'out/annotations/openimages_train.json'
    printed = [(i['neg_category_ids'], i['not_exhaustive_category_ids'])
            for i in json.loads(path.read_text())['images']]
    assert printed == [([4], []), ([], [3])]
    data = LvisDetection(str(path), serialize_data=False, test_mode=True)
    assert [len(data.get_data_info(i)['instances']) for i in range(2)] == [2, 1]
    assert command(*sizes, *labels) == 2
    assert 'expected --layout coco' in capsys.readouterr().err


def test_which_class_is_a_kind_of_which(command, sizes, write, tmp_path):
    assert command(*sizes, '--hierarchy', write('tree.json', TREE)) == 0
    relations = json.loads(
        (tmp_path / 'out/annotations/openimages_class_relations.json').read_text())
    nothing = dict(ancestors=[], descendants=[])
    assert relations == {
        'Animal': dict(ancestors=[], descendants=['Cat', 'Dog']),
        'Dog': dict(ancestors=['Animal'], descendants=[]),
        'Cat': dict(ancestors=['Animal'], descendants=[]),
        'Car': nothing, 'Tire, rubber': nothing}  # a tire is no car


def test_a_class_may_stand_in_the_tree_twice():
    names = {'a': 'Clothing', 'b': 'Hat', 'c': 'Sports', 'd': 'Helmet'}
    tree = {'LabelName': 'root', 'Subcategory': [
        {'LabelName': 'a',
         'Subcategory': [{'LabelName': 'b', 'Subcategory': [{'LabelName': 'd'}]}]},
        {'LabelName': 'c', 'Subcategory': [{'LabelName': 'd'}]}]}
    relations = openimages.class_relations(tree, names)
    assert relations['Helmet']['ancestors'] == ['Clothing', 'Hat', 'Sports']
    assert relations['Clothing']['descendants'] == ['Hat', 'Helmet']


def test_sizes_are_read_from_the_images(command, tmp_path, lines_of, capsys):
    folder = tmp_path / 'train'
    folder.mkdir()
    for name, size in (('0001eeaf4aed83f9', (200, 100)), ('000595fe6fee6369', (80, 60))):
        Image.new('RGB', size).save(folder / f'{name}.jpg')
    (folder / 'damaged.jpg').write_bytes(b'no image')
    options = ['--images', str(folder), '--check-images', str(folder)]
    assert command(*options) == 0
    first = lines_of(tmp_path / 'out/annotations/openimages_train.jsonl')
    assert [(line['width'], line['height']) for line in first] == [(200, 100), (80, 60)]
    printed = capsys.readouterr().out
    assert 'dropped 1 unreadable images, first: damaged.jpg' in printed
    assert '0 of 2 images missing' in printed
    assert command(*options) == 0
    assert capsys.readouterr().out.count('earlier run') == 3
    assert command('--images', str(tmp_path)) == 2
    assert 'a folder of jpg files' in capsys.readouterr().err


def test_challenge_files_have_a_header_and_fewer_columns(command, sizes, tmp_path, lines_of):
    boxes = ('ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n'
             '000595fe6fee6369,/m/0k4j,0,0.5,0,1,0\n')
    assert command(*sizes, boxes=boxes, classes='LabelName,DisplayName\n' + CLASSES) == 0
    line, = lines_of(tmp_path / 'out/annotations/openimages_train.jsonl')
    assert line['detection']['instances'] == [dict(bbox=[0, 0, 40, 60], label=2, category='Car')]


@pytest.mark.parametrize('change, complaint', [
    (dict(boxes='ImageID,LabelName\n'), 'without XMin, XMax, YMin, YMax, IsGroupOf'),
    (dict(boxes=BOXES + '000595fe6fee6369,xclick,/m/0k'), 'boxes.csv:8: 3'),
    (dict(boxes=BOXES.replace('0.75', 'x')), 'boxes.csv:2'),
    (dict(boxes=HEADER), 'none in'),
    (dict(classes='Animal\n'), 'a class-descriptions csv'),
])
def test_damaged_sources_are_one_line(command, sizes, tmp_path, capsys, change, complaint):
    assert command(*sizes, **change) == 2
    printed = capsys.readouterr().err
    assert complaint in printed and printed.count('\n') == 1
    assert not (tmp_path / 'out/annotations/openimages_train.jsonl').exists()


@pytest.mark.parametrize('text, complaint', [
    ('ImageID,Width\n', 'without Height'), ('ImageID,Width,Height\na,1,x\n', 'whole pixels')])
def test_damaged_sizes(command, write, capsys, text, complaint):
    assert command('--sizes', write('s.csv', text)) == 2
    assert complaint in capsys.readouterr().err


def test_wrong_hierarchy(command, sizes, write, capsys):
    assert command(*sizes, '--hierarchy', write('tree.json', {'name': 'x'})) == 2
    assert "'LabelName' and 'Subcategory'" in capsys.readouterr().err
