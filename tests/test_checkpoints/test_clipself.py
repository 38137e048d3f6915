"""Files of CLIP models with an image transformer: every layout, in and out."""
from __future__ import annotations

import math
import warnings

import pytest
import timm
import torch
from mmengine.config import Config
from torch import Tensor, nn

from glipkit.apis.build import build_model, find_config, read_config
from glipkit.apis.convert import convert_checkpoint
from glipkit.checkpoints import load_backbone, load_checkpoint, read, read_file, write
from glipkit.checkpoints.clipself import CLIPSELF
from glipkit.checkpoints.clipself.structure import read_sizes
from glipkit.checkpoints.family import recognise
from glipkit.checkpoints.layouts import known_layouts
from glipkit.cli.convert import LAYOUTS
from glipkit.cli.main import main
from glipkit.common.rotary import rotary_tables
from glipkit.errors import UserError
from glipkit.models.backbones.clip_vit import ClipViT
from glipkit.models.backbones.eva_vit import EvaViT
from glipkit.models.detectors.dense_clip import DenseClip
from glipkit.testing import tiny_fvit
from glipkit.testing.tiny_dense_clip import TINY_CONFIG
from tests.clipself_golden import official_keys, official_state

from .tiny_clip import same

TOWER = dict(image_size=64, width=128, layers=3, embed_dim=64)
TEXT = dict(type='ClipTextEncoder', width=64, heads=2, layers=2, embed_dim=64)


def official(name: str) -> dict[str, Tensor]:
    """An official file as it is: with the rotary tables of every layer."""
    tables = dict(zip(('cos', 'sin'), rotary_tables((4, 4), 64)))
    state = official_state(name)
    return state | {key: tables[key[-3:]].clone() for key in official_keys(name, 'rotary_tables')}


def model(name: str) -> DenseClip:
    cfg = Config.fromstring(TINY_CONFIG, '.py')
    eva = name == 'eva_tiny'
    cfg.model.update(backbone=dict(type='EvaViT' if eva else 'ClipViT', **TOWER),
                     text_encoder=dict(TEXT, activation='gelu' if eva else 'quick_gelu'))
    return build_model(cfg).eval()


def save(state: dict[str, Tensor], path, form: str = '') -> None:
    """As the authors save: bare, or a training's dictionary, perhaps of a wrapped model."""
    if form:
        prefix = form if form == 'module.' else ''
        torch.save({'epoch': 6, 'name': 'x', 'optimizer': {},
                    'state_dict': {prefix + key: tensor for key, tensor in state.items()}}, path)
    else:
        torch.save(state, path)


@pytest.mark.parametrize('form', ['', 'state_dict', 'module.'])
@pytest.mark.parametrize('name, layout', [('eva_tiny', 'eva'), ('openai_tiny', 'openai')])
def test_an_official_file_loads_and_comes_back_bit_for_bit(tmp_path, name, layout, form):
    state = official(name)
    save(state, tmp_path / 'a.pt', form)
    detector = model(name)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        report = load_checkpoint(detector, tmp_path / 'a.pt')
    assert report.layout == layout and not report.untouched
    assert 'logit_scale' in report.aside
    own, prefix = detector.state_dict(), 'text.' if layout == 'eva' else ''
    for key, tensor in own.items():
        wanted = key.replace('backbone.', 'visual.').replace('text_encoder.', prefix)
        assert torch.equal(tensor, state[wanted]), key
    write(read(tmp_path / 'a.pt'), tmp_path / 'own.safetensors')
    write(read(tmp_path / 'own.safetensors'), tmp_path / 'again.pth', layout)
    again = read_file(tmp_path / 'again.pth').state
    assert same(again, {(form if form == 'module.' else '') + k: v for k, v in state.items()})


def test_a_model_of_ours_as_a_file_of_eva_clip(tmp_path):
    """The tables that such files have are those of the rule, B11 of the fact sheet."""
    from glipkit.checkpoints import save_checkpoint
    detector = model('eva_tiny')
    save_checkpoint(detector, tmp_path / 'own.safetensors')
    written = write(read(tmp_path / 'own.safetensors'), tmp_path / 'theirs.pth', 'eva')
    theirs = read_file(tmp_path / 'theirs.pth').state
    wanted = official_keys('eva_tiny') | official_keys('eva_tiny', 'rotary_tables')
    assert {key: list(tensor.shape) for key, tensor in theirs.items()} == \
        {key: shape for key, shape in wanted.items() if key != 'logit_scale'}
    assert written.left == ()
    for key in official_keys('eva_tiny', 'rotary_tables'):
        assert torch.equal(theirs[key], official('eva_tiny')[key])
    other = model('eva_tiny')
    load_checkpoint(other, tmp_path / 'theirs.pth')
    assert same(other.state_dict(), detector.state_dict())


@pytest.mark.parametrize('name, config', [
    ('eva_b16', 'clipself-b16'),
    pytest.param('eva_l14_336', 'clipself-l14', marks=pytest.mark.slow),
    ('openai_b16', 'clipself-openai-b16')])
def test_the_named_models_have_the_official_tensors(name, config, monkeypatch):
    for part in ('normal_', 'zeros_', 'ones_', 'uniform_', 'kaiming_uniform_', 'trunc_normal_'):
        monkeypatch.setattr(nn.init, part, lambda tensor, *_, **__: tensor)
    with torch.device('meta'):
        state = {key: torch.empty(shape) for key, shape in official_keys(name).items()}
    found = recognise(state)
    assert found.family is CLIPSELF and found.layout == ('eva' if 'eva' in name else 'openai')
    checkpoint = CLIPSELF.to_own(dict(state), found.layout, '', 'a file')
    assert checkpoint.state.pop('logit_scale').shape == ()
    cfg = read_config(find_config(config)).model
    text = dict(cfg.text_encoder, type=cfg.text_encoder.type)
    assert text['activation'] == ('gelu' if 'eva' in name else 'quick_gelu')
    sizes = read_sizes(checkpoint.state, 'backbone.', '')
    assert sizes.variant != 'custom'
    built = build_model(read_config(find_config(config)))
    assert {key: tensor.shape for key, tensor in built.state_dict().items()} == \
        {key: tensor.shape for key, tensor in checkpoint.state.items()}


def test_what_differs_is_named(tmp_path):
    state = official('eva_tiny')
    for change, message in (
            (lambda s: s.pop('visual.blocks.1.attn.v_bias'), 'blocks.1.attn.v_bias'),
            (lambda s: s.update({'visual.new': torch.ones(1)}), 'backbone.new'),
            (lambda s: s.update({'visual.norm.bias': torch.ones(3)}), 'backbone.norm.bias'),
            (lambda s: s.pop('visual.pos_embed'), 'pos_embed')):
        broken = dict(state)
        change(broken)
        torch.save(broken, tmp_path / 'broken.pt')
        with pytest.raises(UserError, match=message):
            read(tmp_path / 'broken.pt')
    torch.save(state, tmp_path / 'eva.pt')
    with pytest.raises(UserError):
        load_checkpoint(model('openai_tiny'), tmp_path / 'eva.pt')
    with pytest.raises(UserError, match=r"a layout of EVA-02's towers \(eva, .*'openai'"):
        write(read(tmp_path / 'eva.pt'), tmp_path / 'a.pth', 'openai')


def timm_tower() -> nn.Module:
    """timm's EVA-02 for CLIP, small: the blocks of eva02_base_patch16_clip_224."""
    torch.manual_seed(0)
    built = timm.models.eva.Eva(
        img_size=64, patch_size=16, embed_dim=128, depth=3, num_heads=2, mlp_ratio=8 / 3,
        qkv_fused=False, swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True,
        use_rot_pos_emb=True, ref_feat_shape=(16, 16), global_pool='token', num_classes=64,
        dynamic_img_size=True)
    for p in built.parameters():
        nn.init.normal_(p, mean=float(p.dim() == 1), std=0.2)
    return built.eval()


@pytest.mark.parametrize('grid', [(4, 4), (6, 6), (3, 5)])
def test_timms_tower_gives_the_same_embedding(tmp_path, grid):
    theirs, ours = timm_tower(), EvaViT(**TOWER).eval()
    torch.save(theirs.state_dict(), tmp_path / 'timm.pth')
    load_backbone(ours, tmp_path / 'timm.pth')
    x = torch.randn(2, 3, 16 * grid[0], 16 * grid[1])
    with torch.no_grad():
        wanted, found = theirs(x), ours.embed_image(x)
        size = wanted.abs().max().item()
        # timm resizes its table of positions with a filter against aliasing, whose bicubic kernel
        # is another one too; the rotary tables are the same.
        torch.testing.assert_close(found, wanted, atol=0.05 * size, rtol=0)
        table = timm.layers.resample_abs_pos_embed(theirs.pos_embed, grid)
        monkey = pytest.MonkeyPatch()
        monkey.setattr('glipkit.models.backbones.eva_vit.resize_positions', lambda *_: table[0])
        found = ours.embed_image(x)
        monkey.undo()
    torch.testing.assert_close(found, wanted, atol=1e-5 * size, rtol=0)


def test_timms_and_open_clips_layouts_come_back(tmp_path):
    tower = timm_tower().state_dict()
    text = {key: tensor for key, tensor in official_state('eva_tiny').items()
            if key.startswith('text.')}
    for layout, state in (('timm', tower), ('open_clip', {
            **{f'visual.trunk.{key}': tensor for key, tensor in tower.items()}, **text,
            'logit_scale': torch.tensor(math.log(100))})):
        torch.save(state, tmp_path / 'theirs.pth')
        assert read(tmp_path / 'theirs.pth').layout == layout
        write(read(tmp_path / 'theirs.pth'), tmp_path / 'own.safetensors')
        write(read(tmp_path / 'own.safetensors'), tmp_path / 'again.pth', layout)
        assert same(read_file(tmp_path / 'again.pth').state, state)
    load_checkpoint(model('eva_tiny'), tmp_path / 'theirs.pth')
    convert_checkpoint(tmp_path / 'theirs.pth', tmp_path / 'eva.pth', 'eva')
    load_checkpoint(model('eva_tiny'), tmp_path / 'eva.pth')


@pytest.mark.parametrize('name, kind', [('eva_tiny', EvaViT), ('openai_tiny', ClipViT)])
def test_a_tower_by_itself(tmp_path, name, kind):
    state = official(name)
    torch.save(state, tmp_path / 'whole.pt')
    torch.save({key.removeprefix('visual.'): tensor for key, tensor in state.items()
                if key.startswith('visual.')}, tmp_path / 'image.pt')
    for file in ('whole.pt', 'image.pt'):
        tower = kind(**TOWER)
        load_backbone(tower, tmp_path / file)
        assert same(tower.state_dict(), official_state(name, 'visual.'))


def test_a_file_without_texts_is_refused_in_one_line(tmp_path):
    state = {key: tensor for key, tensor in official('eva_tiny').items()
             if key.startswith('visual.')}
    torch.save(state, tmp_path / 'image.pt')
    with pytest.raises(UserError, match='a checkpoint with the text encoder') as caught:
        load_checkpoint(model('eva_tiny'), tmp_path / 'image.pt')
    assert '\n' not in str(caught.value)


def test_the_command_knows_every_layout():
    assert sorted(LAYOUTS) == sorted(known_layouts())


@pytest.mark.parametrize(('build', 'layout'), [
    (lambda: model('eva_tiny'), 'eva'), (lambda: model('openai_tiny'), 'openai'),
    (lambda: build_model(Config.fromstring(tiny_fvit.TINY_CONFIG, '.py')), 'fvit')])
def test_the_authors_layout_by_the_command(tmp_path, capsys, build, layout):
    torch.save(build().state_dict(), tmp_path / 'own.pth')
    for source, target, to in (('own', 'a', 'official'), ('own', 'b', layout),
                               ('own', 'c', 'glipkit'), ('a', 'back', 'glipkit')):
        assert main(['convert', str(tmp_path / f'{source}.pth'), str(tmp_path / f'{target}.pth'),
                     '--to', to]) == 0
    a, b, c, back = (read(tmp_path / f'{name}.pth') for name in ('a', 'b', 'c', 'back'))
    assert a.layout == b.layout == layout
    left = {key for key in c.state if layout == 'fvit' and key.startswith('text_encoder.')}
    assert same(a.state, b.state)
    assert same(back.state, {key: tensor for key, tensor in c.state.items() if key not in left})
    assert '; 0 more kept aside' in capsys.readouterr().out.splitlines()[2]
