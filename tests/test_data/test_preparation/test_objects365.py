"""Objects365, from a small file as zhiyuan_objv2_train.json."""
import json
from importlib.resources import files

import pytest

from glipkit.cli.main import door
from glipkit.data import CocoDetection, OdvgGrounding


def objv2(names, boxes):
    """names: category id -> name; boxes: (image, category, bbox)."""
    images = [dict(height=512, id=420917, license=5, width=769, url='',
                   file_name='images/v1/patch8/objects365_v1_00420917.jpg'),
              dict(height=600, id=908726, license=5, width=800, url='',
                   file_name='images/v2/patch16/objects365_v2_00908726.jpg'),
              dict(height=480, id=900001, license=5, width=640, url='',
                   file_name='images/v2/patch17/objects365_v2_00900001.jpg')]
    annotations = [dict(id=51 + n, iscrowd=int(image == 0), isfake=0, area=bbox[2] * bbox[3],
                        isreflected=0, bbox=bbox, image_id=abs(image) or 900001,
                        category_id=category) for n, (image, category, bbox) in enumerate(boxes)]
    return dict(images=images, annotations=annotations, licenses=[],
                categories=[dict(id=i, name=n) for i, n in names.items()])


SOURCE = objv2(
    # Out of order, with the misspellings and the blank of the release.
    {53: 'Bakset', 1: 'Person', 365: 'Table Tennis ', 328: 'French', 6: 'Car'},
    [(900001, 53, [10.123456, 20, 30.456789, 40]), (420917, 365, [700, 1, 100, 10]),
     (908726, 1, [1, 1, 50, 50]), (0, 1, [5, 5, 90, 90]), (900001, 6, [0, 0, 640, 0.5]),
     (420917, 1, [491.3955078011, 88.1856689664, 35.65588379410002, 44.442382796800004])])


main = door('prepare', 'objects365')


def test_lines_with_a_label_map(tmp_path, write, lines_of, manifest_of, capsys):
    out = tmp_path / 'out'
    assert main(['--train', write('train.json', SOURCE), '--out', str(out)]) == 0
    folder = out / 'annotations'
    assert json.loads((folder / 'objects365_train_label_map.json').read_text()) == {
        '0': 'Person', '1': 'Car', '2': 'Basket', '3': 'French horn', '4': 'Table Tennis'}
    assert lines_of(folder / 'objects365_train.jsonl') == [
        dict(filename='patch8/objects365_v1_00420917.jpg', height=512, width=769, detection=dict(
            instances=[dict(bbox=[700, 1, 769, 11], label=4, category='Table Tennis'),
                       dict(bbox=[491.4, 88.19, 527.06, 132.63], label=0, category='Person')])),
        dict(filename='patch17/objects365_v2_00900001.jpg', height=480, width=640, detection=dict(
            instances=[dict(bbox=[10.12, 20, 40.58, 60], label=2, category='Basket')]))]
    dropped = manifest_of(out)['annotations/objects365_train.jsonl']['dropped']
    assert {reason: entry['count'] for reason, entry in dropped.items()} == {
        'images that the archives lack': 1, 'degenerate boxes': 1, 'crowd boxes': 1}
    assert 'patch16/objects365_v2_00908726.jpg' in capsys.readouterr().out


def test_both_layouts_give_the_reader_the_same(tmp_path, write):
    source = write('train.json', SOURCE)
    for layout in ('odvg', 'coco'):
        assert main(['--train', source, '--layout', layout, '--out', str(tmp_path / layout)]) == 0
    stem = 'annotations/objects365_train'
    lines = OdvgGrounding(str(tmp_path / f'odvg/{stem}.jsonl'), serialize_data=False,
                          label_map_file=str(tmp_path / f'odvg/{stem}_label_map.json'))
    coco = CocoDetection(str(tmp_path / f'coco/{stem}.json'), serialize_data=False)
    assert len(lines) == len(coco) == 2
    assert lines.metainfo['classes'] == coco.metainfo['classes']
    for i in range(2):
        a, b = lines.get_data_info(i), coco.get_data_info(i)
        assert a['img_path'] == b['img_path'] and a['width'] == b['width']
        for one, other in zip(a['instances'], b['instances'], strict=True):
            assert one['bbox_label'] == other['bbox_label']
            assert one['bbox'] == pytest.approx(other['bbox'], abs=0.011)


def test_validation_set_keeps_boxes_as_they_are(tmp_path, write):
    assert main(['--val', write('val.json', SOURCE), '--out', str(tmp_path / 'out')]) == 0
    content = json.loads((tmp_path / 'out/annotations/objects365_val.json').read_text())
    assert len(content['images']) == 2 and len(content['annotations']) == 5
    assert content['annotations'][0]['bbox'] == [10.123456, 20, 30.456789, 40]


def test_names_can_be_kept(tmp_path, write):
    source, out = write('train.json', SOURCE), tmp_path / 'out'
    labels = out / 'annotations/objects365_train_label_map.json'
    assert main(['--train', source, '--keep-names', '--out', str(out)]) == 0
    assert list(json.loads(labels.read_text()).values())[2:4] == ['Bakset', 'French']
    # Another setting: made again.
    assert main(['--train', source, '--out', str(out)]) == 0
    assert list(json.loads(labels.read_text()).values())[2:4] == ['Basket', 'French horn']


def test_version_1_names_files_without_folders(tmp_path, write, lines_of):
    source = objv2({1: 'human', 3: 'sneakers'}, [(420917, 3, [1, 2, 30, 40])])
    source['images'] = [dict(id=420917, file_name='obj365_train_000000420917.jpg', width=100,
                             height=90)]
    assert main(['--train', write('v1.json', source), '--out', str(tmp_path / 'out')]) == 0
    assert [line['filename'] for line in lines_of(
        tmp_path / 'out/annotations/objects365_train.jsonl')] == ['obj365_train_000000420917.jpg']


def test_no_correction_makes_two_classes_one():
    """The corrected names differ from each other and from the wrong ones."""
    known = json.loads(files('glipkit.data.preparation').joinpath('objects365.json').read_text())
    right = list(known['names'].values())
    assert len(set(right)) == len(right) and not set(right) & set(known['names'])
    assert all(name == name.strip() for name in known['names'])


def test_a_cut_off_file(tmp_path, write, capsys):
    text = json.dumps(SOURCE)
    assert main(['--train', write('t.json', text[:-30]), '--out', str(tmp_path / 'out')]) == 2
    assert 'cut off' in capsys.readouterr().err
    assert not (tmp_path / 'out/annotations/objects365_train.jsonl').exists()
    assert main(['--out', str(tmp_path / 'out')]) == 2
