"""Files that come with glipkit, from whatever folder they are named in."""
from __future__ import annotations

from pathlib import Path

from glipkit.common.paths import packaged

SHIPPED = 'glipkit/weights/regionclip-mini.safetensors'


def test_a_file_that_comes_with_glipkit_is_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert packaged(SHIPPED).is_file()
    assert packaged('glipkit/weights/no-such.pth') == Path('glipkit/weights/no-such.pth')


def test_a_file_at_the_path_itself_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / SHIPPED
    own.parent.mkdir(parents=True)
    own.touch()
    assert packaged(SHIPPED) == Path(SHIPPED)


def test_only_files_of_the_package_are_meant(tmp_path):
    package = tmp_path / 'glipkit'
    package.mkdir()
    (tmp_path / 'beside.pth').touch()
    assert packaged('beside.pth', package) == Path('beside.pth')
