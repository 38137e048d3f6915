"""Values and files that are made once."""
from __future__ import annotations

import json

import pytest

from glipkit.runs.results import is_intact, read_record, remembered, write_record


def test_a_value_is_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {'score': 0.1, 'list': [1, 2]}

    path = tmp_path / 'deep' / 'value.json'
    assert remembered(path, make) == remembered(path, make) == {'score': 0.1, 'list': [1, 2]}
    assert made == [1]


@pytest.mark.parametrize('content', ['', '{"score": 0.', '\0\0'])
def test_a_value_that_was_cut_off_is_made_again(tmp_path, content):
    (tmp_path / 'value.json').write_text(content)
    assert remembered(tmp_path / 'value.json', lambda: 2) == 2


def test_a_value_that_fails_is_not_remembered(tmp_path):
    with pytest.raises(ZeroDivisionError):
        remembered(tmp_path / 'value.json', lambda: 1 / 0)
    assert remembered(tmp_path / 'value.json', lambda: 2) == 2


@pytest.fixture
def done(tmp_path):
    result, record = tmp_path / 'result.bin', tmp_path / 'records' / 'result.json'
    result.write_bytes(b'whole')
    written = write_record(record, result, {'name': 'é', 'rows': [0, 2]})
    return result, record, written


def test_a_result_that_is_as_its_record_says_is_done(done):
    result, record, written = done
    assert written['rows'] == [0, 2] and len(written['sha256']) == 64
    assert read_record(record, result, {'rows': [0, 2]}) == written
    assert read_record(record, result, {'rows': [0, 3]}) is None
    assert is_intact(result, {**written, 'size': 5})
    assert not is_intact(result, {**written, 'size': 6})


@pytest.mark.parametrize('harm', [
    lambda result, record: result.write_bytes(b'other'),
    lambda result, record: result.unlink(),
    lambda result, record: record.unlink(),
    lambda result, record: record.write_text('{"rows"'),
    lambda result, record: record.write_text('[]'),
    lambda result, record: record.write_text(json.dumps({'rows': [0, 2]})),
])
def test_anything_else_has_to_be_made_again(done, harm):
    result, record, _ = done
    harm(result, record)
    assert read_record(record, result, {'rows': [0, 2]}) is None
