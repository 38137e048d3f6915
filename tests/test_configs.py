"""Every config loads, every class in it exists, every model builds."""
from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import DefaultScope

import glipkit  # noqa: F401
from glipkit.apis.build import build_model, known_models
from glipkit.apis.paths import config_root
from glipkit.apis.training import load_config
from glipkit.checkpoints import Structure
from glipkit.registry import DATA_SAMPLERS, DATASETS, HOOKS, METRICS, TRANSFORMS

CONFIGS = sorted(p for p in config_root().rglob('*.py') if not {'_base_', 'transfer'} & {*p.parts})
PARAMETERS = {'glip-t-a': 151_960_000, 'glip-t-b': 232_000_000, 'glip-l': 430_800_000,
              'glip-mini': 6_778_000}


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def types(node) -> set[str]:
    """All ``type`` values below a part of a config."""
    if isinstance(node, (list, tuple)):
        return set().union(*map(types, node), set())
    if not isinstance(node, dict):
        return set()
    own = {node['type']} if isinstance(node.get('type'), str) else set()
    return own.union(*map(types, node.values()), set())


def test_all_names_of_the_public_surface_are_there():
    assert set(known_models()) >= {'glip-t-a', 'glip-t-b', 'glip-t-c', 'glip-t', 'glip-l',
                                   'glip-mini'}


def test_data_classes_exist(path):
    cfg = load_config(str(path))
    with DefaultScope.overwrite_default_scope('glipkit'):
        for part in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            assert DATASETS.get(cfg[part].dataset.type), part
            assert DATA_SAMPLERS.get(cfg[part].sampler.type), part
        for name in types([cfg.train_dataloader, cfg.test_dataloader.dataset.pipeline]):
            found = [r.get(name) for r in (DATASETS, DATA_SAMPLERS, TRANSFORMS, ROOT_TRANSFORMS)]
            assert any(found), name
        assert METRICS.get(cfg.test_evaluator.type)
        assert all(HOOKS.get(hook['type']) for hook in cfg.custom_hooks)


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.slow] if name == 'glip-l' else [])
    for name in PARAMETERS])
def test_model_builds_and_its_keys_are_known(name):
    model = build_model(load_config(name))
    count = sum(p.numel() for p in model.parameters())
    assert count == pytest.approx(PARAMETERS[name], rel=0.01)
    if name != 'glip-mini':  # the only one without an official layout
        shapes = Structure.from_state(model.state_dict()).shapes()
        assert shapes.keys() <= model.state_dict().keys()
