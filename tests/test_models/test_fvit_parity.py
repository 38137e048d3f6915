"""F-ViT beside the official CLIPSelf code: maps, proposals, scores, detections, losses, a step."""
from __future__ import annotations

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.apis.build import build_model, find_config, read_config
from glipkit.models.alignment.cosine import cosine_logits
from glipkit.models.alignment.score_fusion import blend_scores
from glipkit.models.detectors.fvit import FVit
from glipkit.models.roi_heads.box_deltas import move
from glipkit.testing.tiny_fvit import TINY_CONFIG
from glipkit.text.query import Query
from tests.clipself_golden import case, images, official_state, weight

TAPS = {'tiny': (0, 1, 2, 3), 'b16': (3, 5, 7, 11)}


@cache
def detector(kind: str) -> FVit:
    """One model for all tests, with the official weights; words come from a bank."""
    if kind == 'tiny':
        cfg = Config.fromstring(TINY_CONFIG.replace('channels = 16', 'channels = 32'), '.py')
        cfg.model.backbone.update(width=128)
        cfg.model.neck.in_channels = [128] * 4
    else:
        cfg = read_config(find_config('fvit-b16'))
        cfg.model.text_encoder.update(width=32, heads=2, layers=1)
    cfg.model.taps, cfg.model.rpn_head.test_cfg.max_per_img = TAPS[kind], 60
    cfg.model.rpn_head.test_cfg.nms_pre = 2000
    meta, _ = case(f'fvit_{kind}')
    cfg.model.test_cfg = dict(
        score_threshold=0.01, nms_iou=0.4, max_per_image=100,
        base_classes=[n for n, base in zip(meta['names'][:-1], meta['base']) if base])
    model = build_model(cfg)
    state = {}
    for key, tensor in official_state(f'fvit_{kind}').items():
        if 'all_embeddings' not in key and 'fc_cls' not in key:
            state[key.replace('backbone.visual.', 'backbone.').replace(
                'backbone.interpolate', 'pyramid.interpolate')] = tensor
    state |= {key: tensor for key, tensor in model.state_dict().items()
              if key.startswith('text_encoder.')}
    model.load_state_dict(state, strict=True)
    width = model.text_encoder.hidden_size
    model.set_bank(meta['names'], torch.stack([
        weight(f'class_embed.{name}', (width, )) for name in meta['names']]))
    return model.eval()


def sample(meta: dict, **fields) -> DetDataSample:
    return DetDataSample(metainfo=dict(
        query=Query.for_classes(tuple(meta['names'][:-1])), **fields))


def close(found: Tensor, wanted: Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(found, wanted, atol=atol, rtol=1e-4)


CASES = ['tiny', pytest.param('b16', marks=pytest.mark.slow)]


@pytest.mark.parametrize('kind', CASES)
def test_every_stage_and_the_detections(kind):
    meta, arrays = case(f'fvit_{kind}')
    model, side = detector(kind), meta['size']
    step, gap = meta['channel_stride'], meta['spatial_stride']
    x = images(meta['image_seed'], (1, 3, side, side))
    asked = sample(meta, img_shape=tuple(meta['img_shape']), scale_factor=(0.5, 0.5),
                   ori_shape=tuple(2 * n for n in meta['img_shape']))
    with torch.no_grad():
        taps = model._look(x)
        for i, level in enumerate(model.pyramid(taps)):
            close(level[:, ::step, ::gap, ::gap], arrays[f'tap_{i}'])
        dense = model.backbone.embed_cells(taps[-1])
        close(dense[:, ::step], arrays['dense'])
        levels = model.extract_feat(x)
        for i, level in enumerate(levels):
            close(level[:, ::step, ::gap, ::gap], arrays[f'fpn_{i}'])
        for name, maps in zip(('cls', 'reg'), model.rpn_head(levels)):
            for i, level in enumerate(maps):
                close(level[..., ::gap, ::gap], arrays[f'rpn_{name}_{i}'])
        out = model(x, [asked], mode='tensor')
        close(out['boxes'][0], arrays['proposals'][:, :4], 1e-3)
        # Which of two nearly equal boxes comes first may differ: those of the official code.
        asked.proposals = InstanceData(bboxes=arrays['proposals'][:, :4])
        out = model(x, [asked], mode='tensor')
        close(out['logits'][0], arrays['logits'], 5e-4)
        close(out['scores'][0], arrays['scores'])
        close(out['deltas'][0], arrays['reg'])
        found = model.predict(x, [asked])[0].pred_instances
    boxes, scores = arrays['det_boxes'].split([4, 1], 1)
    assert len(found) == len(boxes)
    near = torch.cdist(found.bboxes, boxes, p=torch.inf) < 1e-2
    near &= found.labels[:, None] == arrays['det_labels'][None]
    near &= (found.scores[:, None] - scores.T).abs() < 1e-4
    assert near.any(1).all() and near.any(0).all()


@pytest.mark.parametrize('kind', CASES)
def test_heads_on_given_inputs(kind):
    meta, arrays = case(f'fvit_{kind}')
    model, seed = detector(kind), meta['image_seed']
    grid, width = meta['size'] // 16, model.backbone.width
    words = model._words(sample(meta).query)
    with torch.no_grad():
        taps = [images(seed + 10 + i, (1, width, grid, grid)) for i in range(4)]
        for i, level in enumerate(model.neck(model.pyramid(taps))):
            close(level[:, ::meta['channel_stride'], ::meta['spatial_stride'],
                        ::meta['spatial_stride']], arrays[f'given_fpn_{i}'])
        head = model.roi_head.bbox_head
        embeddings, deltas = head(images(seed + 20, (8, head.in_channels, 7, 7)))
        logits = head.logits(embeddings, words)
        seen = cosine_logits(images(seed + 21, (8, words.shape[1])), words, model.temperature,
                             background=False)
        scores = blend_scores(logits.softmax(1), seen.softmax(1), torch.tensor(meta['base']),
                              meta['alpha'], meta['beta'])
    close(logits, arrays['given_logits'], 5e-4)
    close(scores, arrays['given_scores'])
    close(deltas, arrays['given_reg'])
    boxes = move(arrays['proposals'][:8, :4], deltas)
    height, width = meta['img_shape']
    boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height] * 2))
    close(boxes / meta['scale_factor'], arrays['given_boxes'], 1e-3)


@pytest.mark.parametrize('kind', CASES)
def test_class_loss_with_weights_and_masked_columns(kind):
    meta, arrays = case(f'fvit_{kind}')
    logits = arrays['loss_logits'].clone().requires_grad_()
    masked = logits.masked_fill(torch.tensor(meta['class_weight']) == 0, -torch.inf)
    drawn = arrays['loss_label_weights'] == 1  # others do not count
    loss = detector(kind).roi_head.loss_cls(masked[drawn], arrays['loss_labels'][drawn])
    assert loss.item() == pytest.approx(meta['loss']['loss_cls'], rel=1e-4)
    loss.backward()
    close(logits.grad, arrays['loss_logits_grad'], 1e-6)


def test_losses_gradients_and_statistics_of_a_training_step():
    meta, _ = case('fvit_tiny_train')
    names, base = case('fvit_tiny')[0]['names'], case('fvit_tiny')[0]['base']
    cfg = Config.fromstring(TINY_CONFIG.replace('channels = 16', 'channels = 32'), '.py')
    cfg.model.backbone.update(width=128)
    cfg.model.neck.in_channels = [128] * 4
    cfg.model.rpn_head.test_cfg.update(max_per_img=60, nms_pre=2000)
    cfg.model.rpn_head.train_cfg.sampler.num = 10**6
    cfg.model.roi_head.sampler.num_samples = 10**6
    cfg.model.ignored_classes = [n for n, b in zip(names, base) if not b]
    model, trained = build_model(cfg), detector('tiny')
    model.load_state_dict(trained.state_dict())
    model.set_bank(names, torch.stack([weight(f'class_embed.{n}', (64, )) for n in names]))
    model.train()
    size = (meta['size'], ) * 2
    asked = []
    for boxes, labels in zip(meta['gt_boxes'], meta['gt_labels']):
        asked.append(sample(dict(names=names), img_shape=size))
        asked[-1].gt_instances = InstanceData(bboxes=torch.tensor(boxes),
                                              labels=torch.tensor(labels))
    losses = model.loss(images(meta['seed'], (2, 3, *size)), asked)
    for name, value in losses.items():
        assert value.item() == pytest.approx(meta['log'][name], rel=1e-4), name
    sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    for name, norm in meta['grad_norm'].items():
        found = gradients.pop(name.replace('backbone.', 'pyramid.')).norm().item()
        assert found == pytest.approx(norm, rel=1e-3, abs=1e-5), name
    assert not gradients  # the tower and the text encoder have none
    state = model.state_dict()
    for name, norm in meta['running_norm'].items():
        found = state[name.replace('backbone.', 'pyramid.')].norm().item()
        assert found == pytest.approx(norm, rel=1e-4), name
    assert F.relu(model.roi_head.bbox_head.detect_temperature.grad.abs()) > 0
