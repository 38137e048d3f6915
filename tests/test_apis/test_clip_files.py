"""Published CLIP and RegionCLIP files in the real models, from the command to the prediction."""
from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.checkpoints import load_checkpoint, read, save_checkpoint, to_layout
from glipkit.cli.main import main
from glipkit.common.paths import config_root
from glipkit.errors import UserError
from glipkit.models.proposals.frozen_rpn import ProposalNetwork
from glipkit.registry import building_in
from glipkit.testing import tiny_clip_rcnn, tiny_pretraining
from tests.region_clip_golden import official_state

IMAGE = np.random.RandomState(0).randint(0, 255, (64, 80, 3)).astype(np.uint8)


@pytest.fixture
def config(tmp_path) -> Path:
    return tiny_clip_rcnn.write_config(tmp_path)


@pytest.fixture
def files(config, tmp_path) -> dict[str, Path]:
    """One model as OpenAI, RegionCLIP's detector training and its pre-training would publish it."""
    torch.manual_seed(0)
    save_checkpoint(load(config, 'random'), tmp_path / 'own.safetensors')
    checkpoint = read(tmp_path / 'own.safetensors')
    official = to_layout(checkpoint, 'official').state
    image = {k: v for k, v in official.items() if k.startswith('backbone.')}
    offline = {'offline_backbone.stem.conv1.weight': torch.ones(4, 3, 7, 7),
               'offline_proposal_generator.rpn_head.conv.bias': torch.ones(4)}
    words = {k: v for k, v in official.items() if k.startswith('lang_encoder.')}
    boxes = {k: v for k, v in official.items() if k.startswith('roi_heads.')}
    matrices = {f'roi_heads.box_predictor.{name}.weight': torch.ones(3, 64)
                for name in ('cls_score', 'cls_bg_score', 'test_cls_score')}
    contents = {
        'RN50.pt': {k: v for k, v in to_layout(checkpoint, 'openai').state.items()
                    if not k.startswith('roi_head')} | {'logit_scale': torch.ones(())},
        'detector.pth': {'model': {**image, **boxes, **matrices, **offline}},
        'pretrained.pth': {'model': {**image, **words, **offline, **{
            f'teacher_{k}': v for k, v in image.items()}}}}
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    return {name: tmp_path / name for name in (*contents, 'own.safetensors')}


def test_zero_shot_from_a_clip_and_from_a_pretraining(config, files):
    boxes, names = [[0, 0, 60, 40], [20, 10, 80, 64]], ['a cat', 'dog']
    wanted = Predictor(config, files['own.safetensors']).classify(IMAGE, boxes, names)
    for name in ('RN50.pt', 'pretrained.pth'):
        with pytest.warns(UserWarning, match=f'{name}: roi_head.bbox_pred stays as initialised'):
            predict = Predictor(config, files[name])
        assert np.array_equal(predict.classify(IMAGE, boxes, names), wanted)


def test_a_detector_gets_its_words_by_one_command(config, files, tmp_path, capsys):
    Image.fromarray(IMAGE).save(tmp_path / 'a.png')
    assert main(['predict', str(tmp_path / 'a.png'), '--config', str(config), '--checkpoint',
                 str(files['detector.pth']), '--classes', 'cat']) == 2
    said = capsys.readouterr().err.strip()
    assert '--text RN50.pt' in said and len(said.splitlines()) == 1
    target = tmp_path / 'with_text.safetensors'
    assert main(['convert', str(files['detector.pth']), str(target), '--text',
                 str(files['RN50.pt']), '--config', str(config)]) == 0
    assert '5 more kept aside' in capsys.readouterr().out
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model = load(config, target)
    for key, tensor in load(config, files['own.safetensors']).state_dict().items():
        assert torch.equal(model.state_dict()[key], tensor)


def test_a_config_of_another_model_and_words_that_are_there_are_refused(files, config, tmp_path):
    other = tmp_path / 'other.py'
    other.write_text(config.read_text().replace('width=16', 'width=24'))
    target = str(tmp_path / 'out.pth')
    assert main(['convert', str(files['detector.pth']), target, '--text', str(files['RN50.pt']),
                 '--config', str(other)]) == 2
    assert main(['convert', str(files['own.safetensors']), target, '--text',
                 str(files['RN50.pt'])]) == 2
    assert not Path(target).exists()


def test_from_a_clip_to_a_pretraining_to_a_detector(tmp_path):
    """The path of the miniature: each model begins with the one before it."""
    clip = load(tiny_pretraining.write_config(tmp_path), 'random')
    torch.manual_seed(1)
    with torch.no_grad():
        for buffer in clip.backbone.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    save_checkpoint(clip, tmp_path / 'clip.safetensors')
    regions = load(tiny_pretraining.write_config(tmp_path, tiny_pretraining.REGIONS, 'regions.py'),
                   'random')
    with pytest.warns(UserWarning, match='teacher_backbone begins with the weights of backbone$'):
        load_checkpoint(regions, tmp_path / 'clip.safetensors')
    for key, tensor in regions.backbone.state_dict().items():
        assert torch.equal(tensor, clip.backbone.state_dict()[key])
        assert torch.equal(tensor, regions.teacher_backbone.state_dict()[key])
    save_checkpoint(regions, tmp_path / 'regions.safetensors')
    text = tiny_clip_rcnn.TINY_CONFIG
    for old, new in (('width=16, embed_dim=64, heads=8', 'width=8, embed_dim=24, heads=4'),
                     ('width=32, heads=2, layers=1, embed_dim=64',
                      'width=16, heads=2, layers=1, embed_dim=24'),
                     ("'ClipRoIHead', embed_dim=64", "'ClipRoIHead', embed_dim=24")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / 'detector.py').write_text(text)
    with pytest.warns(UserWarning, match='bbox_pred stays as initialised'):
        detector = load(tmp_path / 'detector.py', tmp_path / 'regions.safetensors')
    for key, tensor in detector.state_dict().items():
        assert key.startswith('roi_head.') or torch.equal(tensor, regions.state_dict()[key])


@pytest.mark.slow
def test_the_named_model_takes_the_released_tensors(tmp_path):
    """RN50 in its real size: OpenAI's names in half precision, and the pre-trained file."""
    state = official_state('pretrain_rn50', 'backbone.')
    words = official_state('pretrain_rn50', 'lang_encoder.')
    torch.save({**{f'visual.{k}': v.half() for k, v in state.items()},
                **{k: v.half() for k, v in words.items()}}, tmp_path / 'RN50.pt')
    with pytest.warns(UserWarning, match='RN50.pt: roi_head.bbox_pred stays as initialised'):
        model = load('regionclip-rn50', checkpoint=tmp_path / 'RN50.pt')
    for module, wanted in ((model.backbone, state), (model.text_encoder, words)):
        assert {k: v.shape for k, v in module.state_dict().items()} == \
            {k: v.shape for k, v in wanted.items()}
        assert all(torch.equal(tensor, wanted[key].half().float())
                   for key, tensor in module.state_dict().items())
    (tmp_path / 'RN50.pt').unlink()
    with pytest.raises(UserError, match='no such file'):
        load('regionclip-rn50', checkpoint=tmp_path / 'RN50.pt')


RPN = '''
_base_ = {base!r}
model = dict(backbone=dict(depth=18, base_channels=8, style='pytorch'),
             neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
             rpn_head=dict(in_channels=8, feat_channels=8))
'''


@pytest.fixture
def with_rpn(config, tmp_path) -> Path:
    """The tiny detector with boxes of a tiny proposal network."""
    base = config_root() / 'region_clip/rpn/rpn-r50-fpn_lvis-866.py'
    (tmp_path / 'rpn.py').write_text(RPN.format(base=str(base)))
    with building_in('mmdet'):
        network = ProposalNetwork(Config.fromfile(tmp_path / 'rpn.py').model)
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    torch.save({'state_dict': network.state_dict()}, tmp_path / 'rpn.pth')
    path = tmp_path / 'with_rpn.py'
    path.write_text(config.read_text().replace(
        "dict(type='GridBoxes', sizes=(0.5, 1.))", "dict(type='glipkit.FrozenRPN', config="
        f"{str(tmp_path / 'rpn.py')!r}, checkpoint={str(tmp_path / 'rpn.pth')!r}, max_boxes=20)"))
    return path


def test_a_detector_with_a_proposal_network(with_rpn, files, tmp_path):
    model = load(with_rpn, files['own.safetensors'])
    assert model.state_dict().keys() == load(tmp_path / 'tiny_regions.py',
                                             files['own.safetensors']).state_dict().keys()
    predict = Predictor(model, score_threshold=0.)
    predict(IMAGE, classes=['cat'])
    network = model.box_source.network()
    model.train()
    assert not any(module.training for module in network.modules())
    assert not {id(p) for p in network.parameters()} & {id(p) for p in model.parameters()}
    assert copy.deepcopy(model).box_source is model.box_source
    save_checkpoint(model, tmp_path / 'again.safetensors')
    assert read(tmp_path / 'again.safetensors').state.keys() == model.state_dict().keys()


def test_a_proposal_network_of_another_config_ends_the_command(with_rpn, files, tmp_path, capsys):
    (tmp_path / 'rpn.py').write_text((tmp_path / 'rpn.py').read_text().replace(
        'feat_channels=8', 'feat_channels=12'))
    Image.fromarray(IMAGE).save(tmp_path / 'a.png')
    assert main(['predict', str(tmp_path / 'a.png'), '--config', str(with_rpn), '--checkpoint',
                 str(files['own.safetensors']), '--classes', 'cat', '--out',
                 str(tmp_path / 'out')]) == 2
    said = capsys.readouterr().err.strip()
    assert 'weights of this proposal network' in said and len(said.splitlines()) == 1
