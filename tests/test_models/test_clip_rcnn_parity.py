"""CLIP R-CNN beside the official RegionCLIP code: zero-shot and transfer, RN50."""
from __future__ import annotations

from functools import cache

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.models.detectors.clip_rcnn import ClipRCNN
from glipkit.registry import MODELS, building_in
from glipkit.text.query import Query
from tests.region_clip_golden import case, normalised, official_state, pictures

# The class matrix is given, so that words need no weights here.
CONFIG = dict(
    type='ClipRCNN', backbone=dict(type='ClipResNet', variant='rn50'),
    text_encoder=dict(type='ClipTextEncoder', width=32, heads=2, layers=1, embed_dim=1024),
    box_source=dict(type='GivenBoxes'), roi_head=dict(
        type='ClipRoIHead', loss_cls=dict(type='FocalScaledClassLoss', background_weight=0.2,
                                          gamma=0.5)))


@cache
def detector() -> ClipRCNN:
    """One model for all tests, with the official weights of the COCO transfer."""
    with building_in():
        model = MODELS.build(CONFIG)
    state = official_state('coco_rn50', 'backbone.')
    model.backbone.load_state_dict(state, strict=True)
    head = official_state('coco_rn50', 'roi_heads.box_predictor.bbox_pred.')
    model.roi_head.bbox_pred.load_state_dict(head, strict=True)
    return model.eval()


def ask(model: ClipRCNN, matrix: Tensor) -> tuple[str, ...]:
    """Class names whose embeddings are the rows of a matrix."""
    names = tuple(f'class {i}' for i in range(len(matrix)))
    model.set_bank(names, matrix.float())
    return names


def samples(meta: dict, arrays: dict[str, Tensor], names: tuple[str, ...], boxes: str,
            count: int | None = None, logits: bool = True) -> list[DetDataSample]:
    made = []
    for i, (size, original) in enumerate(zip(meta['sizes'], meta['original_sizes'])):
        sample = DetDataSample(metainfo=dict(
            query=Query.for_classes(names), img_shape=tuple(size), ori_shape=tuple(original),
            scale_factor=(size[1] / original[1], size[0] / original[0])))
        sample.proposals = InstanceData(bboxes=arrays[f'{boxes}_{i}'][:count])
        if logits:
            sample.proposals.logits = arrays[f'logits_{i}'][:count]
        made.append(sample)
    return made


def settings(model: ClipRCNN, monkeypatch, **fields) -> None:
    monkeypatch.setattr(model, 'test_settings', type(model.test_settings)(**fields))


def assert_same_detections(found: InstanceData, arrays: dict[str, Tensor], run: str,
                           i: int) -> None:
    """Equal by box and label, whatever the order of nearly equal scores; a swap at the end."""
    boxes, scores, labels = (arrays[f'{run}_{name}_{i}'] for name in ('boxes', 'scores', 'labels'))
    assert len(found) == len(boxes)
    near = torch.cdist(found.bboxes, boxes, p=torch.inf) < 1e-2
    near &= found.labels[:, None] == labels[None]
    near &= (found.scores[:, None] - scores[None]).abs() < 2e-4
    assert near.any(1).sum() >= len(boxes) - 1 and near.any(0).sum() >= len(boxes) - 1
    torch.testing.assert_close(found.scores.sort().values, scores.sort().values, atol=2e-4,
                               rtol=0)


@pytest.mark.slow
def test_features_and_probabilities_of_given_boxes(monkeypatch):
    meta, arrays = case('zeroshot_rn50')
    model = detector()
    names = ask(model, arrays['embeddings'])
    with torch.no_grad():
        out = model(normalised(pictures(meta)), samples(meta, arrays, names, 'boxes'))
    torch.testing.assert_close(torch.cat(out['features']), arrays['features'], atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(out['logits']).softmax(1), arrays['rpn_probabilities'],
                               atol=2e-4, rtol=0)
    assert (torch.cat(out['logits'])[:, -1] == 0).all()


RUNS = {
    'gt': {}, 'rpn': dict(fusion='raw'), 'rpn_unfused': {},  # NO_BOX_DELTA in all
    'rpn_vis': dict(fusion='raw', report='class', nms_iou=0.3),
    'rpn_soft': dict(fusion='raw', soft_nms=True),
    'rpn_soft_vis': dict(fusion='raw', soft_nms=True, report='class'),
}


@pytest.mark.slow
@pytest.mark.parametrize('run', RUNS)
def test_zero_shot_detections(run, monkeypatch):
    meta, arrays = case('zeroshot_rn50')
    model = detector()
    names = ask(model, arrays['embeddings'])
    asked = samples(meta, arrays, names, 'boxes', 8 if run == 'gt' else None, run != 'gt')
    settings(model, monkeypatch, regress_boxes=False, **RUNS[run])
    with torch.no_grad():
        for i, sample in enumerate(model.predict(normalised(pictures(meta)), asked)):
            assert_same_detections(sample.pred_instances, arrays, run, i)


def truth(arrays: dict[str, Tensor], i: int) -> InstanceData:
    return InstanceData(bboxes=arrays[f'gt_boxes_{i}'], labels=arrays[f'gt_labels_{i}'])


@pytest.mark.slow
def test_sampled_regions_are_the_official_ones():
    meta, arrays = case('transfer_coco_rn50')
    for i in range(2):
        proposals, annotated = arrays[f'proposals_{i}'], truth(arrays, i)
        drawn = detector().roi_head.sample(proposals, annotated)
        order = torch.cat([proposals, annotated.bboxes])
        place = [int((order == box).all(1).nonzero()[0, 0]) for box in drawn.boxes]
        assert sorted(place) == list(range(len(order)))
        labels = arrays[f'sampled_labels_{i}'][place]
        assert torch.equal(drawn.labels.where(drawn.labels >= 0, 48), labels)
        torch.testing.assert_close(drawn.targets,
                                   arrays[f'sampled_targets_{i}'][place][:len(drawn.targets)])
        assert (labels[len(drawn.targets):] == 48).all()


@pytest.mark.slow
def test_transfer_outputs_losses_and_gradients():
    meta, arrays = case('transfer_coco_rn50')
    model = detector()
    names = ask(model, arrays['embeddings'][arrays['base_rows']])
    images = normalised(pictures(meta))
    asked = samples(meta, arrays, names, 'proposals')
    for i, sample in enumerate(asked):
        sample.gt_instances = truth(arrays, i)
        sample.proposals = InstanceData(bboxes=torch.cat([sample.proposals.bboxes,
                                                          sample.gt_instances.bboxes]))
    with torch.no_grad():
        out = model(images, asked)
    for i in range(2):
        torch.testing.assert_close(out['logits'][i], arrays[f'sampled_logits_{i}'], atol=2e-3,
                                   rtol=0)
        torch.testing.assert_close(out['deltas'][i], arrays[f'sampled_deltas_{i}'], atol=1e-4,
                                   rtol=0)
    for i, sample in enumerate(asked):
        sample.proposals = InstanceData(bboxes=arrays[f'proposals_{i}'])
    losses = model.loss(images, asked)
    official = dict(loss_cls='loss_cls', loss_bbox='loss_box_reg')
    for name, theirs in official.items():
        torch.testing.assert_close(losses[name].item(), meta['losses'][theirs], rtol=1e-4, atol=0)
        model.zero_grad()
        losses[name].backward(retain_graph=True)
        check_gradients(model, meta['gradient_norms'][theirs])
    model.zero_grad()


def check_gradients(model: ClipRCNN, norms: dict[str, float]) -> None:
    trained = {name: p for name, p in model.named_parameters() if p.grad is not None}
    for theirs, norm in norms.items():
        if theirs == 'all':
            found = torch.stack([p.grad.norm() for p in trained.values()]).norm().item()
        else:
            ours = theirs.replace('roi_heads.box_predictor', 'roi_head')
            found = trained[ours].grad.norm().item() if ours in trained else 0.
        assert found == pytest.approx(norm, rel=1e-3, abs=1e-8), theirs
    frozen = ('backbone.conv', 'backbone.bn', 'backbone.layer1', 'text_encoder')
    assert not any(name.startswith(frozen) or '.bn' in name for name in trained)
    assert {'layer2', 'layer3', 'layer4', 'attnpool'} <= {n.split('.')[1] for n in trained}


@pytest.mark.slow
@pytest.mark.parametrize('run', ['test', 'test_soft'])
def test_transfer_inference_with_all_classes(run, monkeypatch):
    meta, arrays = case('transfer_coco_rn50')
    model = detector()
    names = ask(model, arrays['embeddings'])
    settings(model, monkeypatch, soft_nms=run == 'test_soft')
    with torch.no_grad():
        found = model.predict(normalised(pictures(meta)), samples(meta, arrays, names,
                                                                  'proposals'))
    for i, sample in enumerate(found):
        assert_same_detections(sample.pred_instances, arrays, run, i)
