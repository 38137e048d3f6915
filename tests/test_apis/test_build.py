"""Names, configs and weights to detectors."""
from __future__ import annotations

import warnings

import pytest
import torch
from mmengine.config import Config

import glipkit
from glipkit.apis import build, index
from glipkit.checkpoints import save_checkpoint
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import TINY_CONFIG

INDEX = '''
glip-x-a:
  about: without weights
  config: glip/glip-x-a_o365.py
  layout: official
  licence: {code: MIT, weights: none stated}
  published: {}
glip-x:
  about: with weights that come with it
  config: glip/glip-x_o365-goldg.py
  weights: weights/x.safetensors
  layout: glipkit
  licence: {code: MIT, weights: MIT}
  published: {}
  recipes: [glip/glip-x_zzz.py]
'''


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of configs, as they come with glipkit."""
    for name in ('_base_/models/glip_mini.py', 'glip/glip-x-a_o365.py', 'glip/glip-x_o365-goldg.py',
                 'glip/glip-x_zzz.py', 'transfer/glip-x_coco.py'):
        path = tmp_path / 'configs' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TINY_CONFIG)
    (tmp_path / 'configs' / 'index.yaml').write_text(INDEX)
    for module in (build, index):
        monkeypatch.setattr(module, 'config_root', lambda: tmp_path / 'configs')
    monkeypatch.setattr(index, 'PACKAGE', tmp_path / 'package')
    return tmp_path / 'configs'


def test_names_come_from_the_index(root):
    assert {name: path.name for name, path in build.known_models().items()} == \
        {'glip-x': 'glip-x_o365-goldg.py', 'glip-x-a': 'glip-x-a_o365.py'}


def test_a_config_has_the_name_of_the_index_or_of_its_file(root, config, monkeypatch):
    assert index.model_name('glip-x-a') == 'glip-x-a'
    assert index.model_name(root / 'glip/glip-x_o365-goldg.py') == 'glip-x'
    assert index.model_name(root / 'glip/glip-x_zzz.py') == 'glip-x_zzz'
    assert index.model_name(str(config)) == 'tiny_test'
    monkeypatch.chdir('/')
    assert index.model_name('configs/glip/glip-x_o365-goldg.py') == 'glip-x'


def test_configs_are_found_by_name_and_by_path(root, monkeypatch):
    wanted = root / 'glip' / 'glip-x-a_o365.py'
    assert build.find_config('glip-x-a') == wanted
    assert build.find_config(str(wanted)) == wanted
    monkeypatch.chdir(root)
    assert build.find_config('glip/glip-x-a_o365.py').resolve() == wanted
    monkeypatch.chdir('/')
    assert build.find_config('configs/glip/glip-x-a_o365.py') == wanted
    assert build.find_config('glip/glip-x-a_o365.py') == wanted


@pytest.mark.parametrize('name', ['glip-y', 'glip-x.py', 'glip/none.py', 'glip-x-a_o365', ''])
def test_unknown_configs_are_refused_with_the_names_there_are(root, name):
    with pytest.raises(UserError, match='glip-x, glip-x-a'):
        build.find_config(name)


def test_random_weights_are_said_once(config):
    with pytest.warns(UserWarning, match='tiny_test has random weights') as caught:
        model = glipkit.load(str(config))
    assert len([w for w in caught if 'random weights' in str(w.message)]) == 1
    assert not model.training
    assert model.cfg.model.type == 'GLIP'


def test_given_and_shipped_weights_are_loaded(root, tmp_path):
    config = root / 'glip/glip-x_o365-goldg.py'
    (tmp_path / 'package/weights').mkdir(parents=True)
    torch.manual_seed(1)
    model = build.load(config, 'random')
    for path in (tmp_path / 'a.safetensors', tmp_path / 'package/weights/x.safetensors'):
        save_checkpoint(model, path)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        given = build.load(root / 'glip/glip-x_zzz.py', tmp_path / 'a.safetensors')
        shipped = [build.load(name) for name in (config, str(config), 'glip-x')]
    for other in (given, *shipped):
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))


def test_other_configs_of_a_model_do_not_get_its_weights(root, tmp_path):
    for name in ('glip-x_zzz.py', 'glip-x-a_o365.py'):
        with pytest.warns(UserWarning, match='random weights'):
            build.load(root / 'glip' / name)
    copied = tmp_path / 'glip-x_o365-goldg.py'
    copied.write_text(TINY_CONFIG)
    with pytest.warns(UserWarning, match='glip-x_o365-goldg has random weights'):
        build.load(copied)


def test_random_weights_that_are_asked_for_are_no_warning(config):
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        torch.manual_seed(2)
        one = build.load(config, checkpoint='random')
        other = build.load(config, checkpoint='random')
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))


@pytest.mark.parametrize(('old', 'new', 'said'), [
    ("type='GLIP',", "type='GLIP', max_token=3,", "GLIP takes; got unknown key 'max_token'"),
    ('depths=[1, 1, 1]', 'depth=[1]', "SwinTransformer takes; got unknown key 'depth'"),
    ('nms_pre=20', 'nms_post=20', "unknown key 'nms_post'"),
    ("type='GLIPHead'", "type='GLIPHaed'", 'GLIPHaed'),
    ("type='BertEncoder', ", '', "type"),
    ("    text_encoder=dict(type='BertEncoder', hidden_size=16, num_layers=1, num_heads=2,\n"
     '                      intermediate_size=16),\n', '', "no 'text_encoder'"),
    ('model = dict(', 'modle = dict(', "a config with a 'model'"),
    ('model = dict(', 'model = dict((', 'a config that mmengine can read'),
])
def test_a_config_with_a_mistake_is_one_clear_error(tmp_path, old, new, said):
    assert old in TINY_CONFIG
    path = tmp_path / 'bad_test.py'
    path.write_text(TINY_CONFIG.replace(old, new))
    with pytest.raises(UserError, match=said) as caught:
        build.load(path)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('device', ['gpu', 'cuda:99', 3.5])
def test_devices_that_are_not_there(config, device):
    with pytest.raises(UserError, match='a device such as'):
        build.load(config, device=device)


def test_the_default_scope_of_the_process_stays_as_it_was(config):
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmdet'):
        build.build_model(Config.fromfile(config))
        assert DefaultScope.get_current_instance().scope_name == 'mmdet'


def test_the_names_that_come_with_glipkit():
    assert {'glip-t-a', 'glip-t-b', 'glip-t-c', 'glip-t', 'glip-l',
            'glip-mini'} <= set(build.known_models())


def test_a_class_that_is_not_registered_is_quoted_whole():
    said = build.config_error(KeyError("'Nope is not in the glipkit::model registry. Please"))
    assert "got 'Nope' (looked in glipkit::model)" in str(said)


@pytest.mark.parametrize('name', [None, 5, b'glip-mini'])
def test_a_name_that_is_no_string(name):
    with pytest.raises(UserError, match='pass a string'):
        build.find_config(name)
