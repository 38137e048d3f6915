"""Result files."""
from __future__ import annotations

import errno
import json
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glipkit.checkpoints.files import write_pickle, write_safetensors
from glipkit.errors import UserError
from glipkit.files import (
    atomic,
    atomic_folder,
    check_file,
    check_folder,
    copy_file,
    is_unfinished,
    make_folder,
    remove_unfinished,
    write_encoded,
    write_text,
)
from glipkit.reports.pictures import write_markdown


@contextmanager
def full_disk(size: int):
    """Files take no more than so many bytes, as on a disk that fills up in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8))


#: Everything that turns something into a file, with a file of more than 20,000 bytes.
WRITERS = {
    'text': lambda path: write_text(path, 'x' * 30000),
    'jpeg': lambda path: write_encoded(path, lambda f: picture().save(f, 'JPEG', quality=99)),
    'png': lambda path: write_encoded(path, lambda f: picture().save(f, 'PNG')),
    'copy': lambda path: copy_file(torch.__file__, path),
    'safetensors': lambda path: write_safetensors({'a': torch.ones(9000)}, path, {}),
    'pickle': lambda path: write_pickle({'a': torch.ones(9000)}, path),
    'markdown': lambda path: write_markdown(path, 'x' * 30000, {}, {}, {}),
}


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


@pytest.mark.parametrize('size', [0, 5000, 20000])
@pytest.mark.parametrize('writer', WRITERS)
def test_a_disk_that_is_full_or_becomes_so_leaves_the_old_file(tmp_path, writer, size):
    path = tmp_path / 'a'
    path.write_text('old')
    with full_disk(size), pytest.raises(UserError, match='a place to write to.*free some space'):
        WRITERS[writer](path)
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]
    WRITERS[writer](path)
    assert path.stat().st_size > 20000 and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_folder(tmp_path):
    path = tmp_path / 'whole'
    path.mkdir()
    with pytest.raises(UserError, match='free some space'), full_disk(0), \
            atomic_folder(path) as temporary:
        (temporary / 'a').write_text('x')
    assert list(tmp_path.rglob('*')) == [path]


def test_a_link_to_nothing_is_not_replaced(tmp_path):
    link = tmp_path / 'link'
    link.symlink_to(tmp_path / 'gone')
    for write in (*WRITERS.values(), make_folder, lambda path: make_folder(path / 'below'),
                  lambda path: atomic_folder(path).__enter__()):
        with pytest.raises(UserError):
            write(link)
        assert list(tmp_path.iterdir()) == [link] and link.is_symlink()


def test_a_name_in_another_encoding_costs_no_file(tmp_path):
    name = os.fsdecode(b'caf\xe9.jpg')
    write_text(tmp_path / 'a.json', json.dumps({'name': name}, ensure_ascii=False))
    assert json.loads((tmp_path / 'a.json').read_text(encoding='utf-8')) == {'name': name}


def test_what_is_being_written_is_not_removed(tmp_path):
    left = tmp_path / '.a.ab_01xyz.part'
    left.write_text('of a killed process')
    with atomic(tmp_path / 'a') as temporary, atomic_folder(tmp_path / 'b') as folder:
        remove_unfinished(tmp_path)
        assert temporary.exists() and folder.exists() and not left.exists()
        temporary.write_text('whole')
    assert (tmp_path / 'a').read_text() == 'whole' and Path(tmp_path / 'b').is_dir()


def test_a_folder_is_checked_without_a_trace(tmp_path):
    check_folder(tmp_path)
    check_folder(tmp_path / 'a' / 'b')
    assert not list(tmp_path.iterdir())
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to('gone')
    for path in (tmp_path / 'file', tmp_path / 'file/a', tmp_path / 'link', tmp_path / 'link/a',
                 Path('/sys/nothing')):
        with pytest.raises(UserError):
            check_folder(path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_cannot_be_written_is_known_before(tmp_path):
    check_file(tmp_path / 'new' / 'a.txt')
    check_file('a.txt')
    (tmp_path / 'link').symlink_to(tmp_path / 'gone')
    for path in (tmp_path, tmp_path / 'link', '/proc/a.txt'):
        with pytest.raises(UserError):
            check_file(path)
    assert [path.name for path in tmp_path.iterdir()] == ['link']
