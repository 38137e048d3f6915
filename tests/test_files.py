"""Result files."""
from __future__ import annotations

import pytest

from glipkit.errors import UserError
from glipkit.files import write_text


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
