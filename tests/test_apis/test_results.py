"""Results as files: what stands in them, and that they are there whole or not at all."""
from __future__ import annotations

import json

import pytest

from glipkit.apis.results import TestResult, installed, result_files, result_markdown, write_result
from glipkit.errors import UserError

RESULT = TestResult(
    metrics={'coco/AP': .46621, 'lvis_fixed/APr': -1.}, protocol='COCO box AP\nLVIS fixed AP',
    config='configs/glip/glip-t-c_o365-goldg.py', checkpoint='c.pth',
    dataset={'type': 'CocoDetection', 'images': 5000}, versions={'torch': '2.9'})


@pytest.mark.parametrize('out, json_file, markdown_file', [
    ('a/result.json', 'a/result.json', 'a/result.md'), ('a', 'a/metrics.json', 'a/metrics.md'),
    ('old.json', 'old.json/metrics.json', 'old.json/metrics.md'),
    ('v1.2', 'v1.2/metrics.json', 'v1.2/metrics.md')])
def test_names(tmp_path, out, json_file, markdown_file):
    for folder in ('old.json', 'v1.2'):
        (tmp_path / folder).mkdir()
    assert result_files(tmp_path / out) == (tmp_path / json_file, tmp_path / markdown_file)


def test_other_names_are_refused(tmp_path):
    (tmp_path / 'notes').write_text('mine')
    for name in ('result.txt', 'notes'):
        with pytest.raises(UserError, match=name):
            write_result(RESULT, tmp_path / name)
    assert (tmp_path / 'notes').read_text() == 'mine'


def test_the_whole_result_is_in_the_json(tmp_path):
    path = write_result(RESULT, tmp_path / 'new' / 'result.json')
    content = json.loads(path.read_text())
    assert content['metrics'] == dict(RESULT.metrics) and content['coco/AP'] == .46621
    for key in ('protocol', 'config', 'checkpoint', 'dataset', 'versions'):
        assert content[key] == getattr(RESULT, key)
    assert sorted(p.name for p in path.parent.iterdir()) == ['result.json', 'result.md']
    assert path.with_suffix('.md').read_text() == result_markdown(RESULT)


def test_the_table_has_all_numbers_and_says_what_they_are():
    lines = result_markdown(RESULT).splitlines()
    assert lines[:4] == ['# glip-t-c_o365-goldg', '', '| metric | value |', '|---|---:|']
    assert '| coco/AP | 0.4662 |' in lines and '| lvis_fixed/APr | -1.0000 |' in lines
    assert '- protocol: COCO box AP' in lines and '- protocol: LVIS fixed AP' in lines
    assert '- data set: type CocoDetection, images 5000' in lines


def test_a_failed_write_leaves_the_old_files(tmp_path, monkeypatch):
    path = write_result(RESULT, tmp_path)
    before = path.read_text()
    monkeypatch.setattr('os.replace', lambda *_: (_ for _ in ()).throw(OSError('full')))
    with pytest.raises(OSError, match='full'):
        write_result(TestResult({}, '', '', '', {}, {}), tmp_path)
    assert path.read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ['metrics.json', 'metrics.md']


def test_versions_hold_no_path():
    versions = installed()
    assert {'glipkit', 'python', 'torch', 'mmdet', 'numpy'} <= set(versions)
    assert all('/' not in value for value in versions.values())
