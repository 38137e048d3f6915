"""Result files."""
from __future__ import annotations

import errno

import pytest

from glipkit.errors import UserError
from glipkit.files import atomic, atomic_folder, copy_file, is_unfinished, write_text


def test_text_is_written_with_its_folder_and_replaced(tmp_path):
    path = tmp_path / 'new' / 'a.json'
    write_text(path, 'é\n')
    write_text(str(path), 'ü\n')
    assert path.read_bytes() == 'ü\n'.encode()
    assert [item.name for item in path.parent.iterdir()] == ['a.json']


def test_places_where_nothing_can_be_written(tmp_path):
    (tmp_path / 'file').touch()
    for path in (tmp_path, tmp_path / 'file' / 'a.json'):
        with pytest.raises(UserError):
            write_text(path, '')


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a'
    path.write_text('old')
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text('new')
        assert temporary.parent == tmp_path and is_unfinished(temporary)
        assert is_unfinished(temporary, 'a') and not is_unfinished(temporary, 'b')
        raise ZeroDivisionError
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told(tmp_path):
    with pytest.raises(UserError, match='a place to write to.*free some space'), \
            atomic(tmp_path / 'a'):
        raise OSError(errno.ENOSPC, 'No space left on device')
    with pytest.raises(OSError, match='Input/output error'), atomic(tmp_path / 'a'):
        raise OSError(errno.EIO, 'Input/output error')
    assert not list(tmp_path.iterdir())


def test_a_folder_takes_the_place_of_an_older_one(tmp_path):
    path = tmp_path / 'new' / 'whole'
    for content in ('one', 'two'):
        with atomic_folder(path) as temporary:
            assert not (path / content).exists() and is_unfinished(temporary, 'whole')
            (temporary / content).write_text('')
    assert [item.name for item in path.iterdir()] == ['two']
    with pytest.raises(ZeroDivisionError), atomic_folder(path) as temporary:
        raise ZeroDivisionError
    assert [item.name for item in path.parent.iterdir()] == ['whole']
    assert [item.name for item in path.iterdir()] == ['two']


def test_a_copy_is_whole(tmp_path):
    (tmp_path / 'a').write_bytes(b'\0\1')
    copy_file(tmp_path / 'a', tmp_path / 'b')
    assert (tmp_path / 'b').read_bytes() == b'\0\1'
    with pytest.raises(FileNotFoundError):
        copy_file(tmp_path / 'none', tmp_path / 'b')
    assert (tmp_path / 'b').read_bytes() == b'\0\1'
