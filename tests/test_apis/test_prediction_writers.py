"""Detections as files of other programs: places, names, numbers, and what an error leaves."""
from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

from glipkit.apis.detections import Detections
from glipkit.apis.prediction_files import PredictionFiles
from glipkit.apis.prediction_writer import OWN
from glipkit.apis.prediction_writers import (
    FORMATS,
    image_names,
    open_writer,
    write_predictions,
)
from glipkit.cli.predict import FORMS
from glipkit.errors import UserError


def make(boxes, labels, classes=('dog', 'traffic light'), **more):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(boxes, np.linspace(.9, .5, len(boxes)).astype(np.float32),
                      np.array(labels, np.int64), classes, (100, 200), **more)


FULL, EMPTY = make([[20, 10, 60, 50], [0, 0, 200, 100]], [1, 0]), make([], [])


def files_of(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*')
                  if p.is_file() and p.name != OWN)


def test_the_command_offers_what_can_be_written():
    assert FORMS == FORMATS


def test_names_begin_at_the_common_folder():
    assert image_names([Path('x/a/1.jpg'), Path('x/b/1.jpg'), None]) == \
        ['a/1.jpg', 'b/1.jpg', 'image_2.jpg']
    assert image_names([Path('x/a/1.jpg')]) == ['1.jpg']
    assert image_names([]) == []


def test_coco(tmp_path):
    place = write_predictions([FULL, EMPTY], ['a/é 1.jpg', 'b.jpg'], tmp_path, 'coco')
    content = json.loads(place.read_text(encoding='utf-8'))
    assert content['images'] == [
        dict(id=1, file_name='a/é 1.jpg', width=200, height=100),
        dict(id=2, file_name='b.jpg', width=200, height=100)]
    assert [c['id'] for c in content['categories']] == [1, 2]
    first, second = content['annotations']
    assert first == dict(id=1, image_id=1, category_id=2, bbox=[20, 10, 40, 40], area=1600,
                         iscrowd=0, score=pytest.approx(.9))
    assert second['id'] == 2 and second['category_id'] == 1
    assert files_of(tmp_path) == ['coco.json']


def test_yolo(tmp_path):
    assert write_predictions([FULL, EMPTY], ['a/1.jpg', 'b/1.png'], tmp_path, 'yolo') == tmp_path
    assert files_of(tmp_path) == ['data.yaml', 'labels/a/1.txt', 'labels/b/1.txt']
    assert (tmp_path / 'labels/a/1.txt').read_text() == \
        '1 0.200000 0.300000 0.200000 0.400000\n0 0.500000 0.500000 1.000000 1.000000\n'
    assert (tmp_path / 'labels/b/1.txt').read_text() == ''
    content = yaml.safe_load((tmp_path / 'data.yaml').read_text())
    assert content['names'] == {0: 'dog', 1: 'traffic light'}
    assert 'path' not in content  # it would count from where the training tool was started


def test_voc_counts_pixels_from_one_with_both_edges_inside(tmp_path):
    odd = make([[0, 0, 200, 100], [2.4, 3.6, 2.45, 9.5]], [0, 1], ('a & <b>\x01', 'dog'))
    write_predictions([odd, EMPTY], ['s/1.jpg', '2.jpg'], tmp_path, 'voc')
    root = ElementTree.parse(tmp_path / 'Annotations/s/1.xml').getroot()
    assert root.findtext('filename') == '1.jpg' and root.findtext('folder') == 's'
    assert [root.findtext(f'size/{side}') for side in ('width', 'height')] == ['200', '100']
    boxes = [[int(one.text) for one in found] for found in root.iter('bndbox')]
    assert boxes == [[1, 1, 200, 100], [3, 5, 3, 10]]
    assert root.find('object').findtext('name') == 'a & <b>\ufffd'
    assert not list(ElementTree.parse(tmp_path / 'Annotations/2.xml').iter('object'))


def test_labelme_leads_to_the_image(tmp_path):
    image = tmp_path / 'photos' / '1.jpg'
    image.parent.mkdir()
    Image.new('RGB', (200, 100)).save(image)
    write_predictions([replace(FULL, path=image), EMPTY], ['1.jpg', 'x/2.jpg'], tmp_path / 'out',
                      'labelme')
    path = tmp_path / 'out/labelme/1.json'
    content = json.loads(path.read_text())
    assert (path.parent / content['imagePath']).resolve() == image
    assert content['shapes'][0]['points'] == [[20, 10], [60, 50]]
    assert json.loads((tmp_path / 'out/labelme/x/2.json').read_text())['imagePath'] == '2.jpg'


def test_tables_and_lines(tmp_path):
    with write_predictions([EMPTY, FULL], ['0.jpg', '1.jpg'], tmp_path, 'csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [(row['image'], row['name'], row['x2_px']) for row in rows] == \
        [('1.jpg', 'traffic light', '60.0'), ('1.jpg', 'dog', '200.0')]
    lines = write_predictions([EMPTY, FULL], ['0.jpg', '1.jpg'], tmp_path,
                              'jsonl').read_text().splitlines()
    assert [len(json.loads(line)['detections']) for line in lines] == [0, 2]
    assert write_predictions([EMPTY], [None], tmp_path, 'csv').read_text().count('\n') == 1


@pytest.mark.parametrize('form', FORMATS)
def test_no_image_is_a_result_too(tmp_path, form):
    place = write_predictions([], [], tmp_path / form, form, classes=['dog'])
    assert place.exists()
    if form == 'coco':
        assert json.loads(place.read_text())['categories'][0]['name'] == 'dog'


@pytest.mark.parametrize('form', ['yolo', 'voc', 'labelme'])
def test_no_image_loses_its_file_or_leaves_the_folder(tmp_path, form):
    names = ['a/1.jpg', 'a/1.png', 'a/1.png', '../../etc/x.jpg', '/abs/y.jpg', 'C:\\z.jpg', '..']
    out = tmp_path / 'deep' / 'er' / 'out'
    write_predictions([FULL] * len(names), names, out, form)
    suffix = {'yolo': '.txt', 'voc': '.xml', 'labelme': '.json'}[form]
    inside = sorted(p.relative_to(out).as_posix().partition('/')[2]
                    for p in out.rglob(f'*{suffix}'))
    assert inside == sorted(name + suffix for name in (
        'a/1', 'a/1.png', 'a/1_2', 'etc/x', 'abs/y', 'z', 'image'))
    assert files_of(tmp_path) == [f'deep/er/out/{name}' for name in files_of(out)]


def test_images_with_different_classes_share_one_list(tmp_path):
    other = make([[1, 2, 3, 4], [1, 2, 3, 4]], [0, 2], ('cat', 'dog', 'cat'))
    write_predictions([FULL, other], ['1.jpg', '2.jpg'], tmp_path, 'yolo')
    assert yaml.safe_load((tmp_path / 'data.yaml').read_text())['names'] == \
        {0: 'dog', 1: 'traffic light', 2: 'cat'}
    assert [line[0] for line in (tmp_path / 'labels/2.txt').read_text().splitlines()] == ['2', '2']
    task = replace(FULL, category_ids=(7, 1))
    content = json.loads(write_predictions(
        [task, other], ['1.jpg', '2.jpg'], tmp_path, 'coco').read_text())
    assert {c['name']: c['id'] for c in content['categories']} == \
        {'dog': 7, 'traffic light': 1, 'cat': 8}
    assert [a['category_id'] for a in content['annotations']] == [1, 7, 8, 8]


@pytest.mark.parametrize(('error', 'left'), [
    (UserError('a', 'b', 'c'), []), (KeyboardInterrupt(), ['coco.json', 'predictions.jsonl'])])
def test_an_interruption_keeps_what_there_was_and_bad_input_leaves_nothing(tmp_path, error, left):
    out = tmp_path / 'out'
    with pytest.raises(type(error)), PredictionFiles(out, ['coco', 'jsonl', 'coco']) as files:
        files.add(FULL)
        raise error
    assert (files_of(out) if out.exists() else []) == left
    if left:
        assert len(json.loads((out / 'coco.json').read_text())['annotations']) == 2


def test_labels_of_another_run_keep_the_names_of_their_classes(tmp_path):
    cat = make([[1, 2, 3, 4]], [0], ('cat', ))
    write_predictions([FULL, FULL], ['1.jpg', '2.jpg'], tmp_path, 'yolo')
    before = {name: (tmp_path / name).read_text() for name in files_of(tmp_path)}
    with pytest.raises(UserError, match='count cat; got .*data.yaml with dog, traffic light'):
        write_predictions([cat], ['1.jpg'], tmp_path, 'yolo')
    assert {name: (tmp_path / name).read_text() for name in files_of(tmp_path)} == before
    write_predictions([make([[1, 2, 3, 4]], [0], ('dog', ))], ['1.jpg'], tmp_path, 'yolo')
    assert yaml.safe_load((tmp_path / 'data.yaml').read_text())['names'] == \
        {0: 'dog', 1: 'traffic light'}


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(UserError, match=r"coco, yolo.*'pascal'"):
        open_writer('pascal', tmp_path)


@pytest.mark.parametrize('form, place', [
    ('yolo', 'labels/train/1.txt'), ('voc', 'Annotations/1.xml'), ('labelme', 'labelme/1.json')])
def test_annotations_of_others_are_not_replaced(tmp_path, form, place):
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text('mine')
    with pytest.raises(UserError, match='did not write; pass another folder'):
        write_predictions([FULL], ['train/1.jpg'], tmp_path, form)
    assert files_of(tmp_path) == [place] and (tmp_path / place).read_text() == 'mine'
    for _ in range(2):  # what glipkit wrote may be written again, also after a kill
        write_predictions([FULL], ['1.jpg'], tmp_path / 'new', form)
    assert not [one for one in files_of(tmp_path / 'new') if '_2' in one]
