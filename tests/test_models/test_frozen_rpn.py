"""The frozen proposal network: equal to the official one, and outside of the model that asks it."""
from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn
from torchvision.ops import box_iou

from glipkit.apis.build import build_model
from glipkit.checkpoints import load_proposals
from glipkit.checkpoints.region_clip.proposals import table_of
from glipkit.common.paths import config_root
from glipkit.errors import UserError
from glipkit.models.proposals.frozen_rpn import CLIP_MEAN, CLIP_STD, FrozenRPN, ProposalNetwork
from glipkit.registry import MODELS, building_in
from glipkit.testing.tiny_clip_rcnn import TINY_CONFIG
from tests.region_clip_golden import (
    MEAN,
    STD,
    case,
    normalised,
    official_keys,
    pictures,
    weight,
)

FOLDER = config_root() / 'region_clip/rpn'
PYRAMID, LSJ, C4 = 'rpn-r50-fpn_lvis-866', 'rpn-r50-fpn_lvis-866-lsj', 'rpn-r50-c4_coco-48'
#: A network of three stages of eight channels, in the place of a ResNet-50.
TINY = f'''
_base_ = {str(FOLDER / f'{PYRAMID}.py')!r}
model = dict(backbone=dict(depth=18, base_channels=8, num_stages=3, strides=(1, 2, 2),
                           dilations=(1, 1, 1), out_indices=(0, 1, 2), style='pytorch'),
             neck=dict(in_channels=[8, 16, 32], out_channels=8, num_outs=3),
             rpn_head=dict(in_channels=8, feat_channels=8,
                           anchor_generator=dict(strides=[4, 8, 16])))
'''


def samples(*sizes: tuple[int, int]) -> list[DetDataSample]:
    return [DetDataSample(metainfo=dict(img_shape=tuple(size))) for size in sizes]


def network_of(config: Path) -> ProposalNetwork:
    with building_in('mmdet'):
        return ProposalNetwork(Config.fromfile(config).model)


@pytest.fixture
def tiny(tmp_path) -> FrozenRPN:
    """A source whose file is what mmdet writes of a detector."""
    (tmp_path / 'tiny.py').write_text(TINY)
    torch.manual_seed(0)
    network = network_of(tmp_path / 'tiny.py')
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    state = {**network.state_dict(), 'roi_head.bbox_head.fc_cls.weight': torch.ones(3, 8)}
    torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'tiny.pth')
    return FrozenRPN(tmp_path / 'tiny.py', tmp_path / 'tiny.pth', nms=0.7, max_boxes=20)


@pytest.fixture(scope='module')
def official(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('rpn') / 'rpn.pth'
    torch.save({'model': {key: weight(key, shape) for key, shape in
                          official_keys('pretrain_rn50').items() if key.startswith('offline_')}},
               path)
    return path


@pytest.mark.slow
def test_the_head_says_what_the_official_one_says(official):
    meta, wanted = case('rpn_fpn')
    source = FrozenRPN(FOLDER / f'{PYRAMID}.py', official)
    logits, deltas = source.outputs(normalised(pictures(meta)), meta['sizes'])
    assert [4 * logits[0].shape[2], 4 * logits[0].shape[3]] == meta['canvas']
    anchors = source.network().anchors(logits)
    for place, level in enumerate(('p2', 'p3', 'p4', 'p5', 'p6')):
        every = meta['every'].get(level, 1)
        for name, found in (('logits', logits), ('deltas', deltas)):
            torch.testing.assert_close(found[place][:, :, ::every, ::every],
                                       wanted[f'{name}_{level}'], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(anchors[place][:30], wanted[f'anchors_{level}'])


@pytest.mark.slow
@pytest.mark.parametrize('nms', [0.7, 0.9])
def test_the_proposals_are_the_official_ones(official, nms):
    meta, wanted = case('rpn_fpn')
    source = FrozenRPN(f'region_clip/rpn/{PYRAMID}.py', official, nms=nms)
    found = source(normalised(pictures(meta)), samples(*meta['sizes']))
    for i, proposals in enumerate(found):
        boxes, logits = (wanted[f'nms{round(nms * 10)}_{name}_{i}'] for name in ('boxes', 'logits'))
        assert len(proposals) <= meta['post_nms']
        # A pair near the threshold may flip, which moves those behind it.
        near = (box_iou(boxes, proposals.bboxes) > 0.9999) & (
            (logits[:, None] - proposals.logits[None]).abs() < 2e-4)
        assert near.any(1).float().mean() > 0.95
        same = min(len(boxes), len(proposals))
        equal = (boxes[:same] - proposals.bboxes[:same]).abs().amax(1) < 1e-2
        assert equal[:20].all()


@pytest.mark.parametrize(('config', 'name', 'prefix'), [
    (C4, 'coco_rn50', 'offline_'), (C4, 'coco_rn50x4', 'offline_'), (C4, 'rpn_coco', ''),
    (PYRAMID, 'pretrain_rn50', 'offline_'), (PYRAMID, 'rpn_lvis', ''),
    (LSJ, 'lvis_rn50', 'offline_'), (LSJ, 'lvis_rn50x4', 'offline_')])
def test_the_network_of_each_file_is_complete(config, name, prefix):
    """Every key and shape of the network is in the official list, and the other way round."""
    theirs = {key: tuple(shape) for key, shape in official_keys(name).items()
              if key.startswith((f'{prefix}backbone.', f'{prefix}proposal_generator.'))}
    state = {key: tensor for key, tensor in network_of(FOLDER / f'{config}.py').state_dict().items()
             if not key.endswith('num_batches_tracked')}
    rows = table_of(theirs, prefix)
    renamed, unknown, _ = rows.translate(state, to_ours=False)
    assert not unknown
    assert {key: tuple(tensor.shape) for key, tensor in renamed.items()} == theirs
    again, unknown, _ = rows.translate(renamed, to_ours=True)
    assert not unknown and all(again[key] is tensor for key, tensor in state.items())


def test_a_view_is_that_of_the_network(tiny):
    picture = torch.randint(0, 256, (1, 3, 30, 40), generator=torch.Generator().manual_seed(0))
    padded = torch.zeros(1, 3, 40, 50)
    padded[:, :, :30, :40] = (picture.float() / 255 - MEAN) / STD
    seen = {}
    tiny.network().register_forward_pre_hook(lambda _, inputs: seen.update(images=inputs[0]))
    tiny(padded, samples((30, 40)))
    wanted = torch.zeros(1, 3, 64, 64)
    wanted[:, :, :30, :40] = picture.flip(1) - torch.tensor([103.53, 116.28, 123.675])[:, None,
                                                                                       None]
    torch.testing.assert_close(seen['images'], wanted, atol=1e-4, rtol=0)
    assert torch.allclose(torch.tensor(CLIP_MEAN), 255 * MEAN.flatten())
    assert torch.allclose(torch.tensor(CLIP_STD), 255 * STD.flatten())


def test_boxes_of_a_batch(tiny):
    images = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    found = tiny(images, samples((48, 60), (40, 64)))
    for proposals, (height, width) in zip(found, ((48, 60), (40, 64))):
        boxes = proposals.bboxes
        assert 0 < len(boxes) <= 20 and proposals.logits.shape == boxes.shape[:1]
        assert (boxes >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (proposals.logits[1:] <= proposals.logits[:-1]).all() and proposals.logits.max() > 0
        assert not boxes.requires_grad and not boxes.is_inference()
    alone, = tiny(images[:1], samples((48, 60)))
    torch.testing.assert_close(alone.bboxes, found[0].bboxes, atol=1e-3, rtol=1e-4)


def test_it_computes_in_float32_under_autocast(tiny):
    images = torch.rand(1, 3, 48, 64)
    plain, = tiny(images, samples((48, 64)))
    with torch.autocast('cpu', torch.bfloat16):
        mixed, = tiny(images, samples((48, 64)))
    assert torch.equal(plain.logits, mixed.logits)


class Model(nn.Module):

    def __init__(self, source):
        super().__init__()
        self.layer, self.box_source = nn.Linear(2, 2), source


def test_it_is_no_part_of_the_model_that_asks_it(tiny):
    model = Model(tiny).train()
    images = torch.rand(1, 3, 48, 64, requires_grad=True)
    before, = model.box_source(images, samples((48, 64)))
    assert model.state_dict().keys() == {'layer.weight', 'layer.bias'}
    assert len(list(model.parameters())) == 2
    network = tiny.network()
    model.train().requires_grad_(True)
    for module in network.modules():
        assert not module.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    statistics = {key: value.clone() for key, value in network.state_dict().items()}
    after, = model.box_source(images, samples((48, 64)))
    assert torch.equal(before.bboxes, after.bboxes) and images.grad is None
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in statistics.items())


def test_copies_share_it_and_pickles_forget_it(tiny):
    images = torch.rand(1, 3, 48, 64)
    wanted, = tiny(images, samples((48, 64)))
    assert copy.deepcopy(Model(tiny)).box_source is tiny
    again = pickle.loads(pickle.dumps(tiny))
    assert len(pickle.dumps(tiny)) < 2000
    assert torch.equal(again(images, samples((48, 64)))[0].bboxes, wanted.bboxes)


def test_it_goes_to_the_device_of_the_images(tiny):
    assert next(tiny.network('cpu').parameters()).device.type == 'cpu'
    assert next(tiny.network('meta').parameters()).device.type == 'meta'


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_boxes_on_a_gpu(tiny):
    images = torch.rand(1, 3, 48, 64)
    wanted, = tiny(images, samples((48, 64)))
    found, = tiny(images.cuda(), samples((48, 64)))
    assert found.bboxes.is_cuda and len(found) == len(wanted)
    torch.testing.assert_close(found.logits.cpu(), wanted.logits, atol=1e-2, rtol=1e-2)


def test_a_config_names_it():
    source = MODELS.build(dict(type='glipkit.FrozenRPN', config='no.py', checkpoint='no.pth'))
    assert isinstance(source, FrozenRPN)  # nothing is read before the first image
    with pytest.raises(UserError, match='no such file at no.py'):
        source.warm_up()


@pytest.mark.parametrize('arguments', [dict(nms=0.), dict(nms=1.5), dict(max_boxes=0)])
def test_settings_that_give_no_boxes_are_refused(arguments):
    with pytest.raises(UserError, match='nms'):
        FrozenRPN('a.py', 'a.pth', **arguments)


def test_a_file_of_another_config_is_one_clear_error(tiny, tmp_path):
    text = (tmp_path / 'tiny.py').read_text()
    (tmp_path / 'tiny.py').write_text(text.replace('feat_channels=8', 'feat_channels=12'))
    with pytest.raises(UserError, match='weights of this proposal network') as caught:
        tiny.warm_up()
    assert 'of another shape' in str(caught.value) and '\n' not in str(caught.value)
    (tmp_path / 'tiny.py').write_text('model = dict(backbone=dict())')
    with pytest.raises(UserError, match='without rpn_head, data_preprocessor, test_cfg'):
        tiny.warm_up()


@pytest.mark.parametrize(('change', 'problem'), [
    (lambda s: s.pop('neck.fpn_convs.0.conv.weight'), '1 missing: neck.fpn_convs.0.conv.weight'),
    (lambda s: s.pop('backbone.bn1.running_var'), '1 missing: backbone.bn1.running_var'),
    (lambda s: s.clear() or s.update({'conv1.weight': torch.ones(1)}), 'missing'),
])
def test_a_file_without_a_tensor_is_refused(tiny, tmp_path, change, problem):
    state = torch.load(tmp_path / 'tiny.pth', weights_only=True)['state_dict']
    change(state)
    torch.save({'state_dict': state}, tmp_path / 'tiny.pth')
    with pytest.raises(UserError, match=re.escape(problem)):
        tiny.warm_up()


@pytest.mark.parametrize('prefix', ['', 'offline_', 'module.', 'mmdet RPN'])
def test_every_form_of_a_file_gives_the_same_network(tiny, tmp_path, prefix):
    network = tiny.network()
    state = network.state_dict()
    if prefix == 'mmdet RPN':
        state = {key.replace('rpn_head.', 'bbox_head.'): value for key, value in state.items()}
    else:
        offline = 'offline_' if prefix == 'offline_' else ''
        state = {key: value for key, value in state.items() if 'num_batches' not in key}
        state, unknown, _ = table_of(state, offline).translate(state, to_ours=False)
        assert not unknown
        state |= {f'{offline}proposal_generator.anchor_generator.cell_anchors.0': torch.ones(3, 4),
                  'roi_heads.box_predictor.bbox_pred.weight': torch.ones(4, 8)}
        if prefix == 'module.':
            state = {prefix + key: value for key, value in state.items()}
    torch.save({'model': state}, tmp_path / 'other.pth')
    other = network_of(tmp_path / 'tiny.py')
    load_proposals(other, tmp_path / 'other.pth')
    assert all(torch.equal(value, other.state_dict()[key])
               for key, value in network.state_dict().items())


def test_a_detector_finds_things_in_its_boxes(tiny):
    cfg = Config.fromstring(TINY_CONFIG, '.py')
    cfg.model.box_source = dict(type='FrozenRPN', config=str(tiny.config),
                                checkpoint=str(tiny.checkpoint), max_boxes=20)
    cfg.model.test_cfg.fusion = 'sigmoid'
    model = build_model(cfg).eval()
    keys = set(model.state_dict())
    images = torch.randn(2, 3, 64, 96)
    asked = [DetDataSample(metainfo=dict(text=('red dog', 'cat'), img_shape=(64, 96)))
             for _ in images]
    with torch.no_grad():
        found = model.predict(images, asked)
        alone = model.box_source(images, asked)
    for sample, proposed in zip(found, alone):
        instances = sample.pred_instances
        assert len(instances) and (instances.scores <= 1).all()
        near = torch.cdist(instances.bboxes, proposed.bboxes, p=torch.inf).min(1).values
        assert (near < 1e-3).all()  # an untrained box layer moves nothing
    assert set(model.state_dict()) == keys and not any('rpn' in key for key in keys)
    model.train()
    sample = DetDataSample(metainfo=dict(text=('red dog', 'cat'), img_shape=(64, 96)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[8., 8, 40, 40]]),
                                       labels=torch.tensor([1]))
    sum(model.loss(images[:1], [sample]).values()).backward()
    assert model.backbone.layer4[0].conv1.weight.grad.abs().sum() > 0
