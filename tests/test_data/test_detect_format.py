import io
import json
import tarfile

import pytest

from glipkit.data.formats import READERS, detect_format
from glipkit.errors import UserError
from glipkit.registry import DATASETS

IMAGE = dict(id=1, file_name='a.jpg', height=3, width=4)
CAPTIONED = dict(IMAGE, caption='a "images": [dog] ' + 'x' * 40000)
GROUNDING = dict(filename='a.jpg', grounding=dict(caption='a dog', regions=[
    dict(bbox=[1, 2, 3, 4], phrase='dog')]))
SCORED = dict(filename='a.jpg', grounding=dict(caption='a dog', regions=[
    dict(bbox=[1, 2, 3, 4], phrase='dog', score=0.7)]))
DETECTION = dict(filename='a.jpg', detection=dict(instances=[]))


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as file:
        file.addfile(tarfile.TarInfo('a.jpg'))
    return buffer.getvalue()


def lines(*records):
    return '\n' + '\n'.join(map(json.dumps, records)) + '\n'


FILES = [
    ('coco', 'a.json', dict(info={}, images=[IMAGE], annotations=[], categories=[])),
    ('coco', 'a.json', dict(images=[], annotations=[], categories=[])),
    ('coco', 'a.json', dict(images=[CAPTIONED], annotations=[dict(bbox=[1, 2, 3, 4])])),
    ('coco', 'a.json', json.dumps(dict(categories=[], images=[IMAGE]), indent=2)),
    ('lvis', 'a.json', dict(annotations=[dict(image_id=1)], images=[
        dict(id=1, coco_url='a/b.jpg', neg_category_ids=[], not_exhaustive_category_ids=[])])),
    ('mdetr', 'a.json', dict(images=[CAPTIONED], annotations=[dict(tokens_positive=[])])),
    ('mdetr', 'a.json', dict(annotations=[], images=[dict(CAPTIONED, dataset_name='mixed')])),
    ('flickr', 'a.json', dict(images=[dict(CAPTIONED, tokens_positive_eval=[])], annotations=[])),
    ('flickr', 'a.json', dict(images=[dict(CAPTIONED, dataset_name='flickr')], annotations=[])),
    ('odvg', 'a.jsonl', lines(GROUNDING)),
    ('odvg', 'a.json', lines(DETECTION, GROUNDING)),
    ('caption-shards', 'a.jsonl', lines(GROUNDING, SCORED)),
    ('caption-shards', 'a.tar', tar()),
    ('caption-shards', 'm.json', json.dumps({'shards': [{'name': 'a', 'count': 1}]}, indent=1)),
    ('tsv', 'a.yaml', 'img: a.tsv\nlabel: b.tsv\n'),
    ('tsv', 'a.label.tsv', 'k\t[]\nj\t[{"class": "dog", "rect": [1, 2, 3, 4]}]\n'),
    ('tsv', 'a.label.tsv', 'k\t{"objects": [{"class": "dog", "rect": [1, 2, 3, 4]}]}'),
]


@pytest.mark.parametrize('expected, name, content', FILES)
def test_formats_are_told_by_content(tmp_path, expected, name, content):
    path = tmp_path / name
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert detect_format(path) == expected == detect_format(str(path))
    other = path.rename(tmp_path / 'renamed' if path.suffix != '.yaml' else path)
    assert detect_format(other) == expected


def test_folders(tmp_path):
    with pytest.raises(UserError, match='folder without'):
        detect_format(tmp_path)
    (tmp_path / 'a.tar').touch()
    assert detect_format(tmp_path) == 'caption-shards'


def test_every_format_has_a_reader():
    assert {expected for expected, _, _ in FILES} == set(READERS)
    for name in READERS.values():
        assert DATASETS.get(name).__name__ == name


@pytest.mark.parametrize('content', [
    b'', b' \n', b'[1, 2]', b'hello', b'\x89PNG\r\n', b'{"a": 1}', b'{"images": ', b'k\tv\n',
    b'k\tAAAA\tBBBB\n', b'k\t{"caption": "a dog"}\n', b'{"shards": 3}', b'\xff\xfe\x00',
])
def test_others_are_refused(tmp_path, content):
    path = tmp_path / 'a'
    path.write_bytes(content)
    with pytest.raises(UserError, match='COCO, LVIS') as caught:
        detect_format(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['img: a\n', 'a: [', '3'])
def test_other_yaml_files_are_refused(tmp_path, content):
    (tmp_path / 'a.yaml').write_text(content)
    with pytest.raises(UserError, match='COCO, LVIS'):
        detect_format(tmp_path / 'a.yaml')


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match='none.json'):
        detect_format(tmp_path / 'none.json')


@pytest.mark.parametrize('content, what', [
    (b'\x1f\x8b\x08\x00rest', 'a gzip file, which has to be unpacked'),
    (b'PK\x03\x04rest', 'a zip file, which has to be unpacked'),
    ('{"images": []}'.encode('utf-16'), 'text in UTF-16'),
    (b'// mine\n{"images": []}', 'a json with comments'),
])
def test_what_a_foreign_file_is(tmp_path, content, what):
    path = tmp_path / 'train.json'
    path.write_bytes(content)
    with pytest.raises(UserError, match=what):
        detect_format(path)
