import base64
import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from glipkit.data import TsvDetection
from glipkit.data.formats import tsv_table
from glipkit.data.formats.tsv_table import TsvTable
from glipkit.errors import UserError

LABEL_MAP = {'label_to_idx': {'cat': 5, '__background__': 0, 'dog': 1}, 'label_to_count': {}}
DOG = {'class': 'dog', 'rect': [1, 2, 30, 40], 'conf': 1.0}
CAT = {'class': 'cat', 'rect': [0, 0, 90, 90]}
LOAD = [dict(type='glipkit.LoadImage')]


def jpeg(color):
    buffer = io.BytesIO()
    Image.new('RGB', (64, 48), color).save(buffer, 'png')
    return buffer.getvalue()


def write_table(path, rows, lineidx=True):
    offsets, text = [], b''
    for row in rows:
        offsets.append(len(text))
        text += b'\t'.join(c if isinstance(c, bytes) else c.encode() for c in row) + b'\n'
    path.write_bytes(text)
    if lineidx:
        path.with_suffix('.lineidx').write_text(''.join(f'{offset}\n' for offset in offsets))


@pytest.fixture
def build(tmp_path, write_json):

    def make(labels=([DOG], {'objects': [CAT, DOG]}, []), sizes=None, lines=None, keys='abc',
             lineidx=True, label_map=LABEL_MAP, image_keys='abc', yaml=None, pipeline=LOAD,
             **kwargs):
        write_table(tmp_path / 'train.label.tsv', [
            (key, label if isinstance(label, str) else json.dumps(label))
            for key, label in zip(keys, labels)], lineidx)
        write_table(tmp_path / 'images.tsv', [
            (key, base64.b64encode(jpeg((i, 0, 255)))) for i, key in enumerate(image_keys)],
            lineidx)
        write_json('map.json', label_map)
        files = dict(img_file='images.tsv', label_map_file='map.json')
        if sizes:
            write_table(tmp_path / 'train.hw.tsv', sizes)
            files['hw_file'] = 'train.hw.tsv'
        if lines is not None:
            (tmp_path / 'lines.tsv').write_text(lines)
            files['linelist_file'] = 'lines.tsv'
        name = 'train.label.tsv'
        if yaml:
            name, files = 'set.yaml', {}
            (tmp_path / name).write_text(yaml)
        return TsvDetection(name, data_root=str(tmp_path), pipeline=pipeline, **files, **kwargs)

    return make


def test_rows_with_and_without_an_object_around_the_list(build, tmp_path):
    data = build()
    assert data.metainfo['classes'] == ('dog', 'cat')
    first, second, third = (data.get_data_info(i) for i in range(3))
    assert first['text'] == ('dog', 'cat') and first['img_id'] == 1
    assert [(i['bbox'], i['bbox_label']) for i in second['instances']] == [
        ([0, 0, 90, 90], 1), ([1, 2, 30, 40], 0)]
    assert third['instances'] == [] and 'height' not in first
    assert first['img_path'] == f'{tmp_path / "images.tsv"}:1'


@pytest.mark.parametrize('lineidx', [True, False])
def test_images_come_out_of_the_table(build, lineidx):
    data = build(lineidx=lineidx)
    for i in range(3):
        loaded = data[i]
        assert loaded['img'].shape == (48, 64, 3) and loaded['ori_shape'] == (48, 64)
        assert loaded['img'][0, 0].tolist() == [255, 0, i]
        assert 'img_bytes' not in loaded


@pytest.mark.parametrize('text', ['[{"height": 48, "width": 64}]', '{"height": 48, "width": 64}',
                                  '48 64', '[{"height": "48", "width": "64"}]'])
def test_sizes_clip_boxes(build, text):
    sample = build(sizes=[(key, text) for key in 'abc']).get_data_info(1)
    assert (sample['height'], sample['width']) == (48, 64)
    assert [i['bbox'] for i in sample['instances']] == [[0, 0, 64, 48], [1, 2, 30, 40]]


def test_a_line_list_repeats_rows(build):
    data = build(lines='2\n0\n1\n1\n')
    assert [data.get_data_info(i)['img_id'] for i in range(4)] == [3, 1, 2, 2]
    assert data[3]['img'][0, 0].tolist() == [255, 0, 1]


@pytest.mark.parametrize('entry', ['labelmap', 'jsondict'])
def test_the_official_yaml(build, entry):
    data = build(lines='1\n', sizes=[(key, '48 64') for key in 'abc'], yaml=(
        f'img: images.tsv\nlabel: train.label.tsv\nhw: train.hw.tsv\nlinelist: lines.tsv\n'
        f'{entry}: map.json\ncomposite: false\n'))
    assert len(data) == 1 and data.get_data_info(0)['height'] == 48
    assert data[0]['img'][0, 0].tolist() == [255, 0, 1]


def test_classes_that_the_map_lacks_are_counted(build, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.data.formats.records.print_log', lambda t, *_: log.append(t))
    data = build(labels=([DOG, dict(DOG, **{'class': 'cow'})], [], []))
    assert len(data.get_data_info(0)['instances']) == 1
    assert '1 boxes of classes that the label map lacks' in log[-1]
    with pytest.raises(UserError, match='cow'):
        build(labels=([dict(DOG, **{'class': 'cow'})], [], []))


@pytest.mark.parametrize('kwargs, message', [
    (dict(labels=([DOG], '{"objects": 3}', [])), 'label.tsv:2'),
    (dict(labels=([DOG], '[{"class": ', [])), 'label.tsv:2'),
    (dict(labels=([DOG], 'a\tb', [])), 'label.tsv:2: 3 columns'),
    (dict(labels=([DOG], [dict(DOG, rect=[1, 2, 3])], [])), r'label.tsv:2.*\[1, 2, 3\]'),
    (dict(labels=([DOG], [{'class': 'dog'}], [])), 'label.tsv:2'),
    (dict(image_keys='ab'), '2 in .*images.tsv'),
    (dict(sizes=[('a', '4 4')]), '1 in .*train.hw.tsv'),
    (dict(sizes=[('a', '48 64'), ('x', '48 64'), ('c', '48 64')]), "hw.tsv:2: that of 'x'"),
    (dict(sizes=[('a', '48 64'), ('b', '48'), ('c', '48 64')]), 'hw.tsv:2'),
    (dict(sizes=[('a', '48 64'), ('b', '[{"h": 3}]'), ('c', '48 64')]), 'hw.tsv:2'),
    (dict(sizes=[('a', '48 64'), ('b', '0 3'), ('c', '48 64')]), 'height'),
    (dict(lines='0\n3\n'), 'from 0 to 3'),
    (dict(lines='0\nb\n'), 'lines.tsv'),
    (dict(label_map=['dog']), 'map.json'),
    (dict(label_map={'dog': '1'}), 'map.json'),
    (dict(label_map={'dog': 1, 'cat': 1}), 'some index twice'),
    (dict(label_map={'__background__': 0}), 'at least one class name'),
    (dict(yaml='img: images.tsv\n'), "'label'"),
    (dict(yaml='img: images.tsv\nlabel: train.label.tsv\n'), 'label_map_file'),
    (dict(yaml='a: [\n'), 'set.yaml'),
    (dict(yaml='img: none.tsv\nlabel: train.label.tsv\nlabelmap: map.json'), 'none.tsv'),
])
def test_damage_is_named(build, kwargs, message):
    with pytest.raises(UserError, match=message) as caught:
        build(**kwargs)
    assert '\n' not in str(caught.value)


def test_an_image_of_another_key_is_unreadable(build, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.data.grounding_dataset.print_log', lambda t, *_: log.append(t))
    data = build(image_keys='axc')
    np.random.seed(0)
    assert data[1]['img_id'] in (1, 3)
    assert "that of 'x'" in log[0] and 'images.tsv:2' in log[0]
    with pytest.raises(UserError, match="that of 'x'"):
        build(image_keys='axc', test_mode=True)[1]


def test_other_loaders_are_refused(build):
    data = build(pipeline=[dict(type='mmdet.LoadImageFromFile')])
    with pytest.raises(UserError, match="dict\\(type='LoadImage'\\)"):
        data[0]


@pytest.mark.parametrize('content', ['0\n5\n9\n', '1\n8\n16\n', '0\n8\n8\n', '0\nx\n', '',
                                     '0\n8\n99\n', '0\n16\n8\n'])
def test_a_lineidx_that_does_not_fit(tmp_path, content):
    path = tmp_path / 'a.tsv'
    write_table(path, [('a', '12345'), ('b', '12345'), ('c', '12345')])
    assert TsvTable(path, 'a table').row(1) == [b'b', b'12345']
    path.with_suffix('.lineidx').write_text(content)
    with pytest.raises(UserError, match='lineidx'):
        TsvTable(path, 'a table')


def test_rows_that_are_not_probed_are_checked_at_access(tmp_path, monkeypatch):
    monkeypatch.setattr(tsv_table, '_PROBED', 1)
    path = tmp_path / 'a.tsv'
    write_table(path, [('a', '12345')] * 3)
    path.with_suffix('.lineidx').write_text('0\n8\n17\n')
    table = TsvTable(path, 'a table')
    assert table.row(0) == [b'a', b'12345']
    for row in (1, 2):
        with pytest.raises(UserError, match=f'a.tsv:{row + 1}'):
            table.row(row)


def test_tables_can_be_pickled(tmp_path):
    path = tmp_path / 'a.tsv'
    path.write_bytes(b'a\t1\r\nb\t2')
    table = pickle.loads(pickle.dumps(TsvTable(path, 'a table')))
    assert [table.row(i) for i in range(2)] == [[b'a', b'1'], [b'b', b'2']]
    path.write_bytes(b'a\t1\n\nb\t2')
    with pytest.raises(UserError, match='blank lines'):
        TsvTable(path, 'a table')


@pytest.mark.parametrize('content', [b'\xff\xfe0\x00', b'0.5\n', b'one\n'])
def test_a_line_list_that_is_none(build, tmp_path, content):
    build()
    (tmp_path / 'list.txt').write_bytes(content)
    with pytest.raises(UserError, match='a line list of whole numbers; got .*list.txt'):
        TsvDetection('train.label.tsv', data_root=str(tmp_path), img_file='images.tsv',
                     label_map_file='map.json', linelist_file='list.txt')
