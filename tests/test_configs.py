"""Every config loads, every class in it exists, every model builds."""
from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import DefaultScope

import glipkit  # noqa: F401
from glipkit.apis.build import build_model, known_models
from glipkit.apis.index import entry_of
from glipkit.apis.training import load_config
from glipkit.checkpoints.glip import Structure
from glipkit.common.paths import config_root
from glipkit.registry import DATA_SAMPLERS, DATASETS, HOOKS, METRICS, TRANSFORMS

#: Folders of what is no recipe: parts, and proposal networks that a detector is given.
PARTS = {'_base_', 'rpn'}
CONFIGS = sorted(p for p in config_root().rglob('*.py') if not {*PARTS, 'transfer'} & {*p.parts})
PARAMETERS = {'glip-t-a': 151_960_000, 'glip-t-b': 232_000_000, 'glip-l': 430_800_000,
              'glip-mini': 6_778_000}
#: What the header of a recipe says after its summary, in this order.
HEADER = ('Command', 'Hardware', 'Time', 'Memory', 'Result')
RECIPES = sorted(p for p in config_root().rglob('*.py') if not PARTS & {*p.parts})


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
        loaders = [part for part in ('train_dataloader', 'val_dataloader', 'test_dataloader')
                   if part in cfg]
        # On images and texts or crops, without a measure of its own.
        pretrains = '_pretrain_' in path.stem or '_distil_coco' in path.stem
        assert ('train_dataloader' if pretrains else 'test_dataloader') in loaders
        for part in loaders:
            assert DATASETS.get(cfg[part].dataset.type), part
            assert DATA_SAMPLERS.get(cfg[part].sampler.type), part
        for name in types([cfg[part].dataset for part in loaders]):
            found = [r.get(name) for r in (DATASETS, DATA_SAMPLERS, TRANSFORMS, ROOT_TRANSFORMS)]
            assert any(found), name
        assert pretrains or METRICS.get(cfg.test_evaluator.type)
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


def depth(path: Path) -> int:
    """How many levels of ``_base_`` stand below a config."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    found = [ast.literal_eval(node.value) for node in tree.body
             if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '_base_']
    names = [found[0]] if found and isinstance(found[0], str) else found[0] if found else []
    return max((1 + depth(path.parent / name) for name in names), default=0)


def test_a_config_has_two_levels_of_bases_at_most():
    depths = {path.name: depth(path) for path in config_root().rglob('*.py')}
    assert max(depths.values()) == 2, depths


@pytest.mark.parametrize('path', sorted(config_root().rglob('*.py')), ids=lambda path: path.stem)
def test_recipes_name_what_they_change(path):
    """No place in a list of a base is counted out: neither ``[5]`` nor ``'pipeline.5'``."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Subscript):
            assert not isinstance(node.slice, (ast.Slice, ast.UnaryOp)), ast.unparse(node)
            assert not isinstance(getattr(node.slice, 'value', ''), int), ast.unparse(node)


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''


def header(path: Path) -> dict[str, str]:
    """The fields of a recipe's docstring, in their order: a name at the beginning of a line, a
    colon and a value, continued on indented lines."""
    fields = re.findall(r'^(\w+):((?:.*\n?)(?:^ {4}.*\n?)*)', docstring(path), re.MULTILINE)
    return {name: value.strip() for name, value in fields}


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_the_header_of_a_recipe(path):
    fields = header(path)
    assert tuple(fields) == HEADER and all(fields.values()), fields
    assert docstring(path).index('\n\nCommand:\n    ') > 0, 'a summary comes first'
    command = fields['Command'].replace('\\\n', ' ')
    if path.parent.name == 'transfer':
        assert re.search(rf'^glipkit tune .*--strategy {path.stem}\b', command, re.MULTILINE)
    else:
        name = path.relative_to(config_root().parent).as_posix()
        # What has nothing to train on is for testing alone.
        verb = 'train' if 'train_dataloader' in load_config(str(path)) else 'test'
        train = rf'^ *(glipkit {verb}|torchrun .*tools/{verb}\.py) +{re.escape(name)}( |$)'
        assert re.search(train, command, re.MULTILINE)


@pytest.mark.parametrize('path', [p for p in CONFIGS if (e := entry_of(p)) and not e.weights],
                         ids=lambda path: path.stem)
def test_a_header_has_the_published_numbers_of_the_index(path):
    result = header(path)['Result']
    assert [f'{number}' for number in entry_of(path).published.values()] == \
        re.findall(r'\b\d+\.\d+\b', result)


def test_every_base_says_what_it_is():
    bases = [p for p in config_root().rglob('*.py') if PARTS & {*p.parts}]
    assert bases and all(docstring(path) for path in bases)
