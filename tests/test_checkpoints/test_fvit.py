"""F-ViT's files: the authors' layout, in and out, and what of them goes into which model."""
from __future__ import annotations

from functools import cache

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from glipkit.apis.build import build_model, find_config, read_config
from glipkit.apis.convert import convert_checkpoint
from glipkit.checkpoints import load_checkpoint, read, read_file, save_checkpoint, write
from glipkit.checkpoints.clipself import CLIPSELF
from glipkit.checkpoints.family import recognise
from glipkit.errors import UserError
from glipkit.models.detectors.fvit import FVit
from glipkit.testing import tiny_dense_clip
from glipkit.testing.tiny_fvit import TINY_CONFIG
from tests.clipself_golden import official_keys, official_state

from .test_clipself import TEXT, TOWER, official
from .tiny_clip import same

OURS = (('backbone.visual.', 'backbone.'), ('backbone.interpolate', 'pyramid.interpolate'))


@cache
def released() -> dict[str, Tensor]:
    """An official file as it is: with counters and the rotary tables of every layer."""
    tables = official('eva_tiny')
    state = official_state('fvit_tiny') | {
        key: tables['visual.rope.' + key.rpartition('.')[2]].clone()
        for key in official_keys('fvit_tiny', 'rotary_tables')}
    for key in list(state):
        if key.endswith('num_batches_tracked'):
            state[key] = torch.tensor(7)
    return state


def model() -> FVit:
    cfg = Config.fromstring(TINY_CONFIG.replace('channels = 16', 'channels = 32'), '.py')
    cfg.model.backbone.update(TOWER, layers=4)
    cfg.model.neck.in_channels = [128] * 4
    cfg.model.text_encoder = dict(TEXT, activation='gelu')
    return build_model(cfg).eval()


def save(state: dict[str, Tensor], path) -> None:
    torch.save({'meta': {'epoch': 3}, 'state_dict': state, 'optimizer': {}}, path)


def test_a_released_file_gets_its_words_loads_and_comes_back_bit_for_bit(tmp_path):
    save(released(), tmp_path / 'fvit.pth')
    with pytest.raises(UserError, match='with the text encoder.*--text EVA02_CLIP_B_psz16') as no:
        load_checkpoint(model(), tmp_path / 'fvit.pth')
    assert '\n' not in str(no.value)
    torch.save(official('eva_tiny'), tmp_path / 'eva.pt')
    report = convert_checkpoint(tmp_path / 'fvit.pth', tmp_path / 'own.safetensors',
                                text=tmp_path / 'eva.pt')
    assert 'proposal and box head' in report.model and not report.left
    detector = model()
    assert not load_checkpoint(detector, tmp_path / 'own.safetensors').untouched
    for key, tensor in detector.state_dict().items():
        if key.startswith('text_encoder.'):
            wanted = official('eva_tiny')[key.replace('text_encoder.', 'text.')]
        else:
            theirs = next((new + key[len(old):] for new, old in OURS if key.startswith(old)), key)
            wanted = released()[theirs]
        assert torch.equal(tensor, wanted), key
    back = convert_checkpoint(tmp_path / 'own.safetensors', tmp_path / 'again.pth', 'fvit')
    assert same(read_file(tmp_path / 'again.pth').state, released())
    assert all(key.startswith('text_encoder.') for key in back.left)


def test_a_detector_of_ours_as_a_file_of_theirs(tmp_path):
    detector = model()
    save_checkpoint(detector, tmp_path / 'own.safetensors')
    write(read(tmp_path / 'own.safetensors'), tmp_path / 'theirs.pth', 'fvit')
    theirs = read_file(tmp_path / 'theirs.pth').state
    absent = [key for key in released() if key not in theirs]
    # Counters of batches matter to norms without a momentum alone.
    assert {key.rpartition('bbox_head.')[2] for key in absent
            if not key.endswith('num_batches_tracked')} == {
        'all_embeddings', 'fc_cls.weight', 'fc_cls.bias'}
    assert {key: tensor.shape for key, tensor in theirs.items()} == {
        key: tensor.shape for key, tensor in released().items() if key not in absent}
    found = read(tmp_path / 'theirs.pth').state
    assert same({key: tensor for key, tensor in detector.state_dict().items()
                 if not key.startswith('text_encoder.')
                 and not key.endswith('num_batches_tracked')}, found)


def test_towers_begin_a_detector_and_a_detector_gives_them_back(tmp_path):
    torch.save(official('eva_tiny'), tmp_path / 'eva.pt')
    cfg = Config.fromstring(TINY_CONFIG, '.py')
    cfg.model.backbone.update(TOWER)
    cfg.model.taps, cfg.model.neck.in_channels = (0, 1, 1, 2), [128] * 4
    cfg.model.text_encoder = dict(TEXT, activation='gelu')
    with pytest.raises(UserError, match=r'four layers in rising order, from 0 to the last one, 2'):
        build_model(cfg)
    cfg.model.taps, cfg.model.backbone.layers = (0, 1, 2, 3), 4
    detector = build_model(cfg)
    state = dict(official('eva_tiny'))
    state |= {key.replace('blocks.2', 'blocks.3'): tensor for key, tensor in state.items()
              if 'blocks.2' in key}
    torch.save(state, tmp_path / 'eva.pt')
    report = load_checkpoint(detector, tmp_path / 'eva.pt')
    assert {key.partition('.')[0] for key in report.untouched} == {
        'pyramid', 'neck', 'rpn_head', 'roi_head'}
    save_checkpoint(detector, tmp_path / 'detector.safetensors')
    cfg = Config.fromstring(tiny_dense_clip.TINY_CONFIG, '.py')
    cfg.model.update(backbone=dict(type='EvaViT', **{**TOWER, 'layers': 4}),
                     text_encoder=dict(TEXT, activation='gelu'))
    dense = build_model(cfg)
    load_checkpoint(dense, tmp_path / 'detector.safetensors')
    assert torch.equal(dense.backbone.head.weight, detector.backbone.head.weight)


@pytest.mark.parametrize('name, config', [
    ('b16', 'fvit-b16'), ('l14', 'fvit-l14'),
    ('b16_lvis', 'configs/clipself/fvit-b16_ov-lvis.py')])
def test_the_named_detectors_have_the_official_tensors(name, config, monkeypatch):
    for part in ('normal_', 'zeros_', 'ones_', 'uniform_', 'kaiming_uniform_', 'kaiming_normal_',
                 'trunc_normal_', 'constant_', 'xavier_uniform_'):
        monkeypatch.setattr(nn.init, part, lambda tensor, *_, **__: tensor)
    with torch.device('meta'):
        state = {key: torch.empty(shape) for key, shape in official_keys(f'fvit_{name}').items()}
        state |= {key: torch.empty(shape) for key, shape in official_keys(
            f'fvit_{name}', 'rotary_tables').items()}
    found = recognise(state)
    assert found.family is CLIPSELF and found.layout == 'fvit'
    checkpoint = CLIPSELF.to_own(dict(state), 'fvit', '', 'a file')
    back = CLIPSELF.from_own(checkpoint, 'fvit')
    assert not back.left and back.state.keys() == state.keys()
    built = build_model(read_config(find_config(config)))
    assert {key: tensor.shape for key, tensor in built.state_dict().items()
            if not key.startswith('text_encoder.')} == \
        {key: tensor.shape for key, tensor in checkpoint.state.items()}
    assert len(checkpoint.aside) == len(official_keys(f'fvit_{name}', 'rotary_tables')) + 3


def test_what_differs_is_named(tmp_path):
    for change, message in (
            (lambda s: s.pop('backbone.visual.blocks.1.attn.v_bias'), 'blocks.1.attn.v_bias'),
            (lambda s: s.pop('backbone.interpolate2.0.bias'), 'pyramid.interpolate2.0.bias'),
            (lambda s: s.update({'roi_head.new': torch.ones(1)}), 'roi_head.new'),
            (lambda s: s.update({'backbone.new': torch.ones(1)}), 'backbone.new'),
            (lambda s: s.update({'neck.fpn_convs.1.bn.bias': torch.ones(3)}), 'fpn_convs.1.bn'),
            (lambda s: s.pop('neck.lateral_convs.0.conv.weight'), 'lateral_convs.0')):
        broken = dict(released())
        change(broken)
        save(broken, tmp_path / 'broken.pth')
        with pytest.raises(UserError, match=message) as caught:
            read(tmp_path / 'broken.pth')
        assert '\n' not in str(caught.value) or 'expected' in str(caught.value)
    torch.save(official('eva_tiny'), tmp_path / 'eva.pt')
    with pytest.raises(UserError, match='a detector, for the layout fvit; got towers alone'):
        write(read(tmp_path / 'eva.pt'), tmp_path / 'a.pth', 'fvit')
