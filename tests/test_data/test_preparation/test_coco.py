"""COCO's instances json, cleaned for training and thinned for evaluation."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from glipkit.cli.main import door
from glipkit.data import CocoDetection
from glipkit.data.preparation import steps

SCRIPT = Path(__file__).parents[3] / 'data_prep/coco.py'


def record(number, image, category, bbox, area=None, crowd=0):
    """An annotation of the release; crowds have run lengths, others polygons."""
    mask = {'counts': [3, 5], 'size': [48, 64]} if crowd else [[1.0, 1.0, 2.0, 2.0, 3.0, 1.0]]
    return dict(segmentation=mask, area=bbox[2] * bbox[3] / 2 if area is None else area,
                iscrowd=crowd, image_id=image, bbox=bbox, category_id=category, id=number)


def instances(annotations, ids=(391895, 522418, 7)):
    images = [dict(license=3, file_name=f'{i:012d}.jpg', coco_url=f'http://x/train2017/{i}.jpg',
                   height=48, width=64, date_captured='2013-11-14 11:18:45', flickr_url='f', id=i)
              for i in ids]
    return dict(info=dict(description='COCO 2017 Dataset', year=2017), licenses=[dict(id=1)],
                images=images, annotations=annotations,
                categories=[dict(supercategory='person', id=1, name='person'),
                            dict(supercategory='vehicle', id=3, name='car'),
                            dict(supercategory='food', id=90, name='hot dog')])


ANNOTATIONS = [
    record(1, 391895, 1, [10.5, 4, 20.25, 30], area=300.1057499999998),
    record(2, 391895, 90, [50, 10, 20.5, 10]),  # leaves the image on the right
    record(3, 522418, 1, [3, 3, 0.8, 30]),      # a speck
    record(4, 522418, 3, [1, 1, 40, 40], crowd=1),
    record(5, 391895, 1, [10.5, 4, 20.25, 30], area=299),  # once more
    record(6, 5, 1, [1, 1, 9, 9]),              # of no image
]


main = door('prepare', 'coco')


@pytest.fixture
def train(write):
    return write('instances_train2017.json', instances(ANNOTATIONS))


def test_training_set_is_cleaned(tmp_path, train, capsys, manifest_of):
    assert main(['--train', train, '--out', str(tmp_path / 'out')]) == 0
    content = json.loads((tmp_path / 'out/annotations/coco_train.json').read_text())
    assert [(a['id'], a['bbox'], a['area'], a['iscrowd']) for a in content['annotations']] == [
        (1, [10.5, 4, 20.25, 30], 300.1057499999998, 0), (2, [50, 10, 14, 10], 140, 0),
        (4, [1, 1, 40, 40], 800, 1)]
    assert 'segmentation' not in content['annotations'][0]
    assert content['images'][0] == dict(id=391895, file_name='000000391895.jpg', width=64,
                                        height=48)
    assert [c['id'] for c in content['categories']] == [1, 3, 90]
    printed = capsys.readouterr().out
    assert 'coco_train.json: 3 images, 3 boxes, 3 classes, 1 images without boxes' in printed
    dropped = manifest_of(tmp_path / 'out')['annotations/coco_train.json']['dropped']
    assert dropped == {
        'boxes of images not listed': dict(count=1, examples=['annotation 6 of image 5']),
        'degenerate boxes': dict(count=1, examples=['annotation 3 of image 522418']),
        'repeated boxes': dict(count=1, examples=['annotation 5 of image 391895'])}


def test_the_reader_sees_the_same_in_source_and_output(tmp_path, write):
    annotations = [a for a in ANNOTATIONS if a['id'] != 5]
    train = write('a.json', instances(annotations))
    assert main(['--train', train, '--out', str(tmp_path / 'out')]) == 0
    sets = [CocoDetection(path, serialize_data=False, data_prefix=dict(img=''))
            for path in (train, str(tmp_path / 'out/annotations/coco_train.json'))]
    assert sets[0].metainfo['classes'] == ('person', 'car', 'hot dog')
    before, after = ([sample['instances'] for sample in data.data_list] for data in sets)
    assert before == after and [len(instances) for instances in after] == [2, 0, 0]


def test_validation_set_keeps_every_box(tmp_path, train):
    assert main(['--val', train, '--out', str(tmp_path / 'out')]) == 0
    content = json.loads((tmp_path / 'out/annotations/coco_val.json').read_text())
    kept = ('area', 'iscrowd', 'image_id', 'bbox', 'category_id', 'id')
    assert content['annotations'] == [{k: a[k] for k in kept} for a in ANNOTATIONS]


@pytest.mark.parametrize('listed', [instances([], ids=(391895,)), [391895]])
def test_images_can_be_left_out(tmp_path, train, write, listed, capsys):
    if isinstance(listed, dict):
        listed['annotations'] = ANNOTATIONS[:1]
    assert main(['--train', train, '--leave-out', write('val.json', listed), '--out',
                 str(tmp_path / 'out')]) == 0
    content = json.loads((tmp_path / 'out/annotations/coco_train.json').read_text())
    assert [i['id'] for i in content['images']] == [522418, 7]
    assert {a['image_id'] for a in content['annotations']} == {522418}
    assert 'dropped 1 images left out as asked for' in capsys.readouterr().out
    assert main(['--train', train, '--leave-out', train, '--out', str(tmp_path / 'b')]) == 2
    assert 'none after leaving out' in capsys.readouterr().err


def test_killed_in_the_validation_set_and_run_again(tmp_path, train, monkeypatch, capsys):
    command = ['--train', train, '--val', train, '--out', str(tmp_path / 'out')]
    write_json = steps.Step.write_json

    def killed(step, content):
        if 'val' in step.name:
            raise KeyboardInterrupt
        write_json(step, content)

    monkeypatch.setattr(steps.Step, 'write_json', killed)
    assert main(command) == 130
    monkeypatch.undo()
    first = (tmp_path / 'out/annotations/coco_train.json').stat().st_mtime_ns
    capsys.readouterr()
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert 'classes, 1 images without boxes (complete from an earlier run)' in printed
    assert 'coco_val.json: 3 images, 6 boxes' in printed and printed.count('earlier run') == 1
    assert (tmp_path / 'out/annotations/coco_train.json').stat().st_mtime_ns == first
    assert main(command) == 0
    assert capsys.readouterr().out.count('earlier run') == 2


@pytest.mark.parametrize('content, complaint', [
    ('{"images": [{"id": 1,', 'cut off'),
    ({'images': [], 'annotations': [], 'categories': []}, 'nothing in images, annotations'),
    (instances([record(1, 7, 2, [1, 1, 9, 9])]), 'annotation 1 of category 2'),
    (instances([record(1, 7, 1, [1, 1, 9, None], area=9)]), 'four finite numbers'),
    (instances([{'id': 1, 'image_id': '7'}]), "a whole number 'image_id'"),
    (instances(ANNOTATIONS, ids=(7, 7)), 'id 7 again'),
    ({**instances(ANNOTATIONS), 'images': [dict(id=1, file_name='a.jpg', width=4)]}, 'height'),
    ({**instances(ANNOTATIONS), 'images': [dict(id=1, width=4, height=4)]}, 'file name'),
    ({**instances(ANNOTATIONS), 'images': ['a.jpg']}, 'with records'),
    ({**instances(ANNOTATIONS), 'categories': [dict(id=1)]}, 'categories[0]: id 1, name None'),
    ({**instances(ANNOTATIONS), 'categories': [dict(id=1, name='a'), dict(id=1, name='b')]},
     'ids that differ'),
])
def test_damaged_sources_are_one_line(tmp_path, write, capsys, content, complaint):
    assert main(['--train', write('a.json', content), '--out', str(tmp_path / 'out')]) == 2
    printed = capsys.readouterr().err
    assert complaint in printed and printed.count('\n') == 1
    assert not list(tmp_path.glob('out/**/*.json*'))


def test_as_a_command(tmp_path, train):
    call = [sys.executable, str(SCRIPT), '--out', str(tmp_path / 'out')]
    done = subprocess.run([*call, '--train', train], capture_output=True, text=True, check=True)
    assert 'coco_train.json: 3 images, 3 boxes, 3 classes' in done.stdout
    assert (tmp_path / 'out/annotations/coco_train.json').exists()
