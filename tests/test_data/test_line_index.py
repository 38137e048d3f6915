import json
import multiprocessing
import os
import pickle

import numpy as np
import pytest

from glipkit.data import line_index
from glipkit.data.line_index import JsonLines, find_lines, open_index, read_slice
from glipkit.errors import UserError


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Keeps indexes of small files too, as of large ones."""
    monkeypatch.setattr(line_index, '_SMALL', 0)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_bytes(b'\n{"a": 1}\r\n   \n{"b": "\xc3\xa9"}\n\t\n{"c": [3]}')
    return path


def test_lines_are_read_by_entry(file):
    lines = JsonLines(file, 'a file')
    assert len(lines) == 3 and lines.num_bytes == file.stat().st_size
    assert [lines[i] for i in (2, 0, 1)] == [{'c': [3]}, {'a': 1}, {'b': 'é'}]
    assert [lines.number(i) for i in range(3)] == [2, 4, 6]
    assert lines.where(2) == f'{file}:6'
    assert list(lines) == [lines[i] for i in range(3)]
    for index in (3, -1):
        with pytest.raises(IndexError):
            lines[index]


@pytest.mark.parametrize('content, offsets, numbers', [
    (b'', [0], [1]),
    (b'\n \n', [3], [3]),
    (b'{}', [0, 2], [1, 2]),
    (b'{}\n', [0, 3], [1, 2]),
    (b'{}\n\n{}\n', [0, 4, 7], [1, 3, 4]),
])
def test_offsets_by_hand(tmp_path, content, offsets, numbers):
    path = tmp_path / 'a.jsonl'
    path.write_bytes(content)
    assert find_lines(path).T.tolist() == [offsets, numbers]


def test_the_index_is_built_once(file, kept, monkeypatch):
    assert JsonLines(file, 'a file')[0] == {'a': 1}
    assert sorted(p.name for p in file.parent.iterdir()) == ['a.jsonl', 'a.jsonl.lines.npy']
    monkeypatch.setattr(line_index, 'find_lines', None)  # would fail if it were called
    lines = JsonLines(file, 'a file')
    assert lines[2] == {'c': [3]} and isinstance(lines._index, np.memmap)
    again = pickle.loads(pickle.dumps(lines))
    assert again[1] == {'b': 'é'} and len(pickle.dumps(lines)) < 400


def grow(file):
    with file.open('ab') as out:
        out.write(b'\n{"d": 4}')


def same_size(file):
    file.write_bytes(file.read_bytes().replace(b'\t\n{"c": [3]}', b'\n{"c": [3]}\n'))


def same_size_and_time(file):
    status = file.stat()
    same_size(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize('change', [grow, same_size, same_size_and_time])
def test_a_changed_file_is_indexed_anew(file, kept, change):
    JsonLines(file, 'a file')
    change(file)
    lines = JsonLines(file, 'a file')
    expected = [json.loads(line) for line in file.read_bytes().splitlines() if line.strip()]
    assert list(lines) == expected


@pytest.mark.parametrize('damage', [b'', b'no numpy file', b'\x93NUMPY\x01\x00', None])
def test_a_damaged_index_is_built_anew(file, kept, damage):
    JsonLines(file, 'a file')
    index = file.with_name('a.jsonl.lines.npy')
    index.write_bytes(index.read_bytes()[:-8] if damage is None else damage)
    assert JsonLines(file, 'a file')[2] == {'c': [3]}
    assert np.load(index).shape == (6, 2)


def test_an_index_of_another_shape_is_none(file, kept):
    JsonLines(file, 'a file')
    index = file.with_name('a.jsonl.lines.npy')
    np.save(index, np.load(index).astype(np.int32))
    assert JsonLines(file, 'a file')[1] == {'b': 'é'}
    assert np.load(index).dtype == np.int64


def test_a_folder_that_cannot_be_written(file, kept, monkeypatch, tmp_path):
    # Tests may run as root, who can write everywhere.
    real = line_index._save
    beside = file.with_name('a.jsonl.lines.npy')
    monkeypatch.setattr(line_index, '_save', lambda p, w: p != beside and real(p, w))
    assert JsonLines(file, 'a file')[2] == {'c': [3]}
    assert not beside.exists()
    assert len(list((tmp_path / 'cache' / 'glipkit' / 'indexes').glob('*.lines.npy'))) == 1
    monkeypatch.setattr(line_index, 'find_lines', None)
    assert JsonLines(file, 'a file')[2] == {'c': [3]}


def test_nowhere_to_keep_it(file, kept, monkeypatch):
    monkeypatch.setattr(line_index, '_save', lambda p, w: False)
    assert JsonLines(file, 'a file')[2] == {'c': [3]}


def test_a_failed_write_leaves_nothing(file, kept, monkeypatch):
    def full(file, array):
        file.write(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(line_index.np, 'save', full)
    assert JsonLines(file, 'a file')[2] == {'c': [3]}
    assert [p.name for p in file.parent.iterdir() if p.is_file()] == ['a.jsonl']


def test_a_file_that_changes_while_it_is_read(file):
    def build(path):
        rows = find_lines(path)
        grow(path)
        return rows

    with pytest.raises(UserError, match='changed while it was read'):
        open_index(file, 'lines', build)


def read_all(path, queue):
    line_index._SMALL = 0
    lines = JsonLines(path, 'a file')
    queue.put([lines[i]['n'] for i in range(0, len(lines), 97)])


def test_processes_that_build_at_once(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_text(''.join(f'{{"n": {i}}}\n' for i in range(5000)))
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    workers = [context.Process(target=read_all, args=(path, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert results == [list(range(0, 5000, 97))] * 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.jsonl', 'a.jsonl.lines.npy']


@pytest.mark.parametrize('line, message', [
    (b'{"a": ', 'JSON object'), (b'[1]', 'list'), (b'{"a": "\xe9"}', 'UTF-8'),
    (b'[' * 100000, 'JSON object'),
])
def test_damage_is_named_with_file_and_line(file, line, message):
    file.write_bytes(b'{}\n\n' + line + b'\n')
    lines = JsonLines(file, 'a file')
    assert lines[0] == {}
    with pytest.raises(UserError, match=message) as caught:
        lines[1]
    assert f'{file}:3' in str(caught.value) and '\n' not in str(caught.value)


def test_a_file_that_is_gone_or_shorter(file, tmp_path):
    with pytest.raises(UserError, match='none.jsonl'):
        JsonLines(tmp_path / 'none.jsonl', 'a file')
    lines = JsonLines(file, 'a file')
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(UserError, match='longer when it was opened'):
        lines[2]
    file.unlink()
    with pytest.raises(UserError, match='a.jsonl'):
        lines[0]


def test_read_slice(file):
    assert read_slice(file, 2, 5) == b'"a"'
    assert read_slice(file, 5, 5) == b''
