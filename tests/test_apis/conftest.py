"""A tiny GLIP and images to find things in."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.testing.tiny_glip import picture, write_config


@pytest.fixture(scope='session')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp('configs'))


@pytest.fixture(scope='session')
def predictor(config: Path) -> Predictor:
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='random weights'):
        model = load(config)
    return Predictor(model, score_threshold=0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of two sizes, a text, and a folder with one more image."""
    for name, seed, size in (('b.png', 1, (60, 90)), ('a.png', 2, (80, 50)), ('c.png', 3,
                                                                             (60, 90))):
        Image.fromarray(picture(seed, size)[..., ::-1]).save(tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'inside').mkdir()
    Image.fromarray(picture()).save(tmp_path / 'inside' / 'd.png')
    return tmp_path
