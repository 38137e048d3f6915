"""Class names from files of every kind."""
from __future__ import annotations

import json

import pytest

from glipkit.apis.class_lists import read_classes
from glipkit.errors import UserError

COCO = dict(images=[dict(id=1, file_name='a.jpg')],
            annotations=[dict(id=1, image_id=1, category_id=9, bbox=[1, 2, 3, 4])],
            categories=[dict(id=9, name='dog', supercategory='pets'), dict(id=0, name='pets'),
                        dict(id=4, name='traffic light', supercategory='pets')])


@pytest.mark.parametrize(('name', 'content', 'names'), [
    ('a.txt', '\ufefftraffic light\r\n\r\n salt, pepper \nno\n',
     ['traffic light', 'salt, pepper', 'no']),
    ('data.yaml', 'names: [traffic light, no, 1.0]\nnc: 3\n', ['traffic light', 'no', '1.0']),
    ('data.yml', 'names:\n  10: ten\n  2: two\n', ['two', 'ten']),
    ('coco.json', json.dumps(COCO), ['traffic light', 'dog']),
    ('list.json', '["été", "dog"]', ['été', 'dog']),
])
def test_files(tmp_path, monkeypatch, name, content, names):
    (tmp_path / name).write_text(content, encoding='utf-8')
    monkeypatch.chdir(tmp_path)
    assert read_classes(name) == read_classes(f'@{name}') == read_classes(str(tmp_path / name)) \
        == names


def test_what_is_no_file_is_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'dog').write_text('cat')
    assert read_classes('dog') == ['dog']
    assert read_classes('@dog') == ['cat']
    assert read_classes('a.txt, b.txt') == ['a.txt', 'b.txt']
    assert len(read_classes(', '.join(f'thing {i}.txt' for i in range(2000)))) == 2000


@pytest.mark.parametrize(('name', 'content', 'said'), [
    ('none.txt', None, 'no file'), ('a.txt', ' \n', 'empty'), ('a.json', '[]', 'without a name'),
    ('a.yaml', 'nc: 3\n', "'names' as a list"), ('a.yaml', 'names: *x\n', 'a.yaml'),
    ('a.json', '{"a": 1}', 'a.json'), ('a.json', '[1]', 'a.json'), ('a.json', '[', 'a.json'),
    ('a.txt', b'\xff\xfe\x00', 'UTF-8'),
])
def test_a_file_without_names_is_one_clear_error(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for text in (f'@{tmp_path / name}', str(tmp_path / name)):
        with pytest.raises(UserError, match=said):
            read_classes(text)
