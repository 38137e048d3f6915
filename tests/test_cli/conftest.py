"""A tiny model on disk, images, and a way to run command lines."""
from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image

from glipkit.apis.build import load
from glipkit.checkpoints import save_checkpoint
from glipkit.cli.main import main
from glipkit.testing.tiny_glip import picture, write_config


class Files(NamedTuple):
    config: str
    checkpoint: str


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope='session')
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp('model')
    config = write_config(folder)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = load(config)
    save_checkpoint(model, folder / 'tiny.safetensors')
    return Files(str(config), str(folder / 'tiny.safetensors'))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / 'photos'
    folder.mkdir()
    for seed, name in enumerate(('a.png', 'b.png')):
        Image.fromarray(picture(seed)[..., ::-1]).save(folder / name)
    return folder


@pytest.fixture
def run(capfd: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a command line in an empty folder: ``run('convert', a, b)``."""
    here = tmp_path / 'here'
    here.mkdir()
    monkeypatch.chdir(here)

    def command(*words: object) -> Ran:
        capfd.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # argparse's own exits
            code = stop.code
        return Ran(code, *capfd.readouterr())

    return command


@pytest.fixture
def refuse(run, tmp_path: Path):
    """Runs a command line that must fail as bad input does, and returns its one line."""

    def command(*words: object) -> str:
        before = sorted(tmp_path.rglob('*'))
        ran = run(*words)
        assert ran.code == 2, ran
        assert ran.out == ''
        assert ran.err.count('\n') == 1 and ran.err.startswith('glipkit'), ran.err
        assert sorted(tmp_path.rglob('*')) == before
        return ran.err

    return command
