"""The model index and what it points to."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from glipkit.apis.build import build_model, read_config
from glipkit.apis.index import default_model, entry_of, model_index, model_name, shipped_weights
from glipkit.checkpoints import known_layouts
from glipkit.checkpoints.hub import _HUB
from glipkit.common.paths import PACKAGE, config_root

INDEX = model_index()
README = Path(__file__).parents[2] / 'README.md'


@pytest.fixture(params=INDEX.values(), ids=list(INDEX))
def entry(request):
    return request.param


def test_an_entry_is_complete(entry):
    assert entry.about and entry.config.is_file() and all(p.is_file() for p in entry.recipes)
    assert set(entry.licence) == {'code', 'weights'} and all(entry.licence.values())
    assert entry.layout in known_layouts()
    assert all(isinstance(number, float) for number in entry.published.values())
    assert entry.weights is not None or entry.sources or entry.elsewhere
    for source in entry.sources:
        assert _HUB.fullmatch(str(source))


def test_one_model_is_the_default_and_comes_with_its_weights():
    assert [name for name, entry in INDEX.items() if entry.default] == [default_model()]
    assert INDEX[default_model()].weights is not None


def test_weights_are_there_and_every_file_of_weights_is_named(entry):
    assert entry.weights is None or entry.weights.is_file()
    named = {other.weights for other in INDEX.values() if other.weights is not None}
    assert set((PACKAGE / 'weights').glob('*.safetensors')) == named


def test_the_config_is_one_of_a_model(entry):
    cfg = read_config(entry.config)
    assert cfg.model.type
    if entry.name.endswith('-mini'):  # tests/test_configs.py builds the big ones
        assert build_model(cfg).cfg is cfg


def test_every_config_of_a_method_is_in_the_index_once():
    folders = [p for p in config_root().iterdir()
               if p.is_dir() and p.name not in ('_base_', 'transfer', '__pycache__')]
    assert folders
    named = [path for entry in INDEX.values() for path in (entry.config, *entry.recipes)]
    assert len(named) == len(set(named))
    assert {path for folder in folders for path in folder.glob('*.py')} == set(named)


def test_weights_and_names_belong_to_names_and_their_configs_alone(entry):
    assert entry_of(entry.name) == entry_of(entry.config) == entry_of(str(entry.config)) == entry
    assert shipped_weights(entry.config) == entry.weights
    for recipe in entry.recipes:
        assert shipped_weights(recipe) is None and model_name(recipe) == recipe.stem


def test_the_readme_has_a_row_for_every_name_with_its_config():
    rows = re.findall(r'^\| `([\w-]+)` \| \[[\w-]+\]\((configs/[^)]+)\)', README.read_text(), re.M)
    assert dict(rows) == {
        name: f'configs/{entry.config.relative_to(config_root())}'
        for name, entry in INDEX.items()}
