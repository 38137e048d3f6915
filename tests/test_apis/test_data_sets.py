"""One data set in every layout: the same images, boxes and names, wherever they come from."""
from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glipkit.apis.data_sets import data_files, one_part, open_data
from glipkit.apis.training import load_config
from glipkit.data.checking import CheckSettings, DataFile, PromptSettings, check
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.errors import UserError
from tests.box_sets import BOXES, LAYOUTS, NAMES, SIZES, write_world

PARTS = {'train': {name: BOXES[name] for name in ('a 1.png', 'b.png', 'ü.png')},
         'val': {'z.png': BOXES['z.png']}}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('GLIPKIT_HOME', str(tmp_path / 'home'))


def content_of(part):
    """Name of an image -> size and boxes, as xyxy with the names of their classes."""
    coco = read_coco_json(part.ann_file)
    found = {}
    for image in coco.images.values():
        assert (part.images / image['file_name']).is_file()
        found[Path(image['file_name']).name] = ((image['width'], image['height']), [])
    for record in coco.annotations:
        x, y, w, h = record['bbox']
        found[Path(coco.images[record['image_id']]['file_name']).name][1].append(
            (coco.classes[record['category_id']], x, y, x + w, y + h))
    return found, tuple(coco.real_classes.values())


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout_gives_the_same(tmp_path, layout):
    """Whole pixels come back exactly, in the same order, with the classes in the same order."""
    root = write_world(tmp_path / 'my data', layout, PARTS, SIZES)
    before = sorted(root.rglob('*'))
    opened = open_data(root)
    assert list(opened.parts) == ['train', 'val']
    for part, wanted in PARTS.items():
        found, classes = content_of(opened.parts[part])
        assert classes == NAMES
        assert list(found) == list(wanted)
        assert found == {name: (SIZES[name], wanted[name]) for name in wanted}
    assert sorted(root.rglob('*')) == before  # nothing is written where the data are
    again = open_data(root)
    assert again.parts == opened.parts and layout.replace('roboflow', 'coco') in again.notes[0]


def widths(limit):
    return st.integers(8, limit)


@st.composite
def worlds(draw):
    size = draw(widths(2000)), draw(widths(2000))
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        corners = []
        for side in size:
            ends = st.floats(0, side) if draw(st.booleans()) else st.integers(0, side)
            a, b = sorted((round(float(draw(ends)), 3), round(float(draw(ends)), 3)))
            corners.append((a, b))
        (x1, x2), (y1, y2) = corners
        boxes.append((draw(st.sampled_from(NAMES)), x1, y1, x2, y2))
    return size, boxes


@settings(max_examples=20, deadline=None)
@given(worlds())
def test_boxes_come_back_within_what_the_format_can_say(world):
    """YOLO: six decimals of both the centre and the side, 0.75e-6 of the image's side, and 0.05
    px at most where a whole pixel lies as near. VOC: whole pixels, so half of one."""
    size, boxes = world
    boxes = [box for box in boxes if round(box[3]) > round(box[1]) and round(box[4]) > round(
        box[2])] or [('cat', 0, 0, 8, 8)]
    for layout in ('yolo', 'voc', 'labelme', 'csv'):
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setenv('GLIPKIT_HOME', f'{folder}/home')
            root = write_world(Path(folder, 'd'), layout, {'train': {'a.png': boxes}},
                               {'a.png': size})
            found, _ = content_of(open_data(root).parts['train'])
        slack = {'voc': 0.5, 'yolo': 0.76e-6 * max(size) * 2}.get(layout, 1e-9)
        assert found['a.png'][0] == size
        for ours, (label, *corners) in zip(found['a.png'][1], boxes, strict=True):
            assert ours[0] == label
            assert ours[1:] == pytest.approx(corners, abs=slack)


def test_classes_are_those_of_all_parts(tmp_path):
    """A part in which one does not occur has the same labels."""
    root = write_world(tmp_path / 'd', 'voc', {'train': PARTS['train'], 'val': {'b.png': []}},
                       SIZES)
    parts = open_data(root).parts
    assert read_coco_json(parts['val'].ann_file).classes == \
        read_coco_json(parts['train'].ann_file).classes == dict(enumerate(NAMES, 1))


def test_a_folder_of_something_else_lists_what_was_looked_for(tmp_path):
    (tmp_path / 'notes.md').write_text('x')
    with pytest.raises(UserError) as error:
        open_data(tmp_path)
    text = str(error.value)
    assert 'notes.md' in text
    for word in ('_annotations.coco.json', 'data.yaml', 'classes.txt', '<annotation>', 'shapes',
                 'xmin', 'dataset_info.json'):
        assert word in text
    with pytest.raises(UserError, match='nothing at'):
        open_data(tmp_path / 'none')


def test_a_bad_line_stops_a_training_and_names_itself(tmp_path):
    root = write_world(tmp_path / 'd', 'yolo', PARTS, SIZES)
    with (root / 'train/labels/b.txt').open('a') as file:
        file.write('7 0.5 0.5 0.1 0.1\n')
    with pytest.raises(UserError, match=r'train/labels/b\.txt:2: class 7.*check-data'):
        open_data(root)


def test_images_that_are_not_there_are_left_out_and_told(tmp_path):
    root = write_world(tmp_path / 'd', 'voc', PARTS, SIZES)
    (root / 'train/b.png').unlink()
    opened = open_data(root)
    assert list(content_of(opened.parts['train'])[0]) == ['a 1.png', 'ü.png']
    assert any('1 images are not there' in note and 'b.png' in note for note in opened.notes)


def test_one_part_of_many(tmp_path):
    root = write_world(tmp_path / 'd', 'labelme', PARTS, SIZES)
    assert one_part(root, ('test', 'val')).ann_file.name == 'val.json'
    assert one_part(root / 'val', ('test', )).ann_file.name == 'train.json'
    with pytest.raises(UserError, match='part test'):
        one_part(root, ('test', ))


def test_two_layouts_in_one_folder_are_told(tmp_path):
    root = write_world(tmp_path / 'd', 'roboflow', PARTS, SIZES)
    (root / 'a.csv').write_text('path,class,x1,y1,x2,y2\n')
    assert 'it could be csv (a.csv) as well' in open_data(root).notes[0]


def test_a_coco_json_finds_its_images(tmp_path):
    root = write_world(tmp_path / 'd', 'coco', PARTS, SIZES)
    file = root / 'annotations/instances_val.json'
    assert open_data(file).parts['train'].images == root / 'val'
    (root / 'val/z.png').unlink()
    with pytest.raises(UserError, match=r'images of .*z\.png in none of'):
        open_data(file)


def test_a_data_set_of_the_hub_library(tmp_path):
    datasets = pytest.importorskip('datasets')
    write_world(tmp_path / 'd', 'coco', PARTS, SIZES)
    features = datasets.Features(dict(
        image=datasets.Image(), objects=dict(
            bbox=datasets.List(datasets.List(datasets.Value('float32'))),
            category=datasets.List(datasets.ClassLabel(names=list(NAMES))))))

    def rows(part):
        own = PARTS[part]
        return datasets.Dataset.from_dict(dict(
            image=[Image.open(tmp_path / 'd' / part / name) for name in own],
            objects=[dict(bbox=[[x1, y1, x2 - x1, y2 - y1] for _, x1, y1, x2, y2 in boxes],
                          category=[NAMES.index(box[0]) for box in boxes])
                     for boxes in own.values()]), features=features)

    datasets.DatasetDict(train=rows('train'), validation=rows('val')).save_to_disk(
        str(tmp_path / 'saved'))
    opened = open_data(tmp_path / 'saved')
    for part, wanted in PARTS.items():
        found, classes = content_of(opened.parts[part])
        assert classes == NAMES
        assert list(found.values()) == [(SIZES[name], wanted[name]) for name in wanted]
    corners = open_data(tmp_path / 'saved', 'xyxy').parts['val']
    assert json.loads(corners.ann_file.read_text())['annotations'][0]['bbox'] == [1, 2, 28, 36]
    tested = load_config('glip-mini', test_data=str(tmp_path / 'saved'), box_format='xyxy')
    assert tested.test_evaluator.ann_file == str(corners.ann_file)
    parts, about = data_files(tmp_path / 'saved', PromptSettings())
    assert list(parts) == ['train', 'val'] and 'read as datasets' in about


def test_a_user_without_a_place_of_his_own_has_one_for_passing_files(tmp_path, monkeypatch):
    root = write_world(tmp_path / 'd', 'yolo', PARTS, SIZES)
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('GLIPKIT_HOME', str(tmp_path / 'file' / 'none'))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    part = open_data(root).parts['train']
    own = tmp_path / f'glipkit-{os.getuid()}'
    assert own in part.ann_file.parents and own.stat().st_mode & 0o077 == 0
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    shutil.rmtree(own)
    own.symlink_to(elsewhere)
    with pytest.raises(UserError, match='GLIPKIT_HOME'):
        open_data(root)
    assert not list(elsewhere.iterdir())


def test_file_names_written_on_windows(tmp_path):
    (tmp_path / 'images/sub').mkdir(parents=True)
    Image.new('RGB', (30, 20)).save(tmp_path / 'images/sub/a.png')
    (tmp_path / 'train.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='sub\\a.png', width=30, height=20)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[1, 2, 3, 4], area=12, iscrowd=0)],
        categories=[dict(id=1, name='cat')])))
    part = open_data(tmp_path).parts['train']
    assert list(content_of(part)[0]) == ['a.png'] and part.images == tmp_path / 'images'
    report = check(DataFile(part.ann_file, part.images), CheckSettings())
    assert not report.findings.sorted()
