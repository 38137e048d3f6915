"""A file that several steps need is parsed once, and again when it changes."""
from __future__ import annotations

import json
import os

import pytest

from glipkit.data.checking import CheckSettings, DataFile, check
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.data.formats.read_once import files_read_once
from glipkit.data.formats.reading import read_json
from glipkit.errors import UserError


@pytest.fixture
def coco(tmp_path):
    path = tmp_path / 'coco.json'
    write(path, 'cat')
    return path


def write(path, name):
    path.write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.png', width=9, height=9)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 4, 4])],
        categories=[dict(id=1, name=name)])))


def test_inside_the_block_files_are_shared(coco, monkeypatch):
    assert read_json(coco, 'a') is not read_json(coco, 'a')
    monkeypatch.chdir(coco.parent)
    with files_read_once():
        first = read_coco_json(coco)
        with files_read_once():
            second = read_coco_json('coco.json')
        assert first.annotations is second.annotations and read_json(coco, 'a') is read_json(
            str(coco), 'a')
        # Errors name the file as the caller does.
        assert (first.path, second.path) == (str(coco), 'coco.json')
    assert read_coco_json(coco).annotations is not first.annotations


def test_a_file_that_changes_is_read_again(coco):
    with files_read_once():
        assert read_coco_json(coco).classes == {1: 'cat'}
        write(coco, 'dog')
        os.utime(coco, ns=(1, 1))
        assert read_coco_json(coco).classes == {1: 'dog'}


def test_what_one_caller_does_not_need_another_may_miss(coco):
    content = json.loads(coco.read_text())
    del content['annotations']
    coco.write_text(json.dumps(content))
    with files_read_once():
        assert not read_coco_json(coco, need_annotations=False).annotations
        with pytest.raises(UserError, match='annotations'):
            read_coco_json(coco)


def test_the_check_reads_for_all(coco, monkeypatch):
    with files_read_once():
        report = check(DataFile(coco, coco.parent), CheckSettings(decode=False), 'coco')
        assert report.counts['images'] == 1
        monkeypatch.setattr(json, 'load', None)
        assert read_coco_json(coco).classes == {1: 'cat'}


def test_an_error_is_not_kept(tmp_path):
    path = tmp_path / 'a.json'
    with files_read_once():
        with pytest.raises(UserError):
            read_json(path, 'a file')
        path.write_text('{"a": ')
        with pytest.raises(UserError, match='a.json:1'):
            read_json(path, 'a file')
        path.write_text('{"a": 1}')
        assert read_json(path, 'a file') == {'a': 1}
