"""CLIP R-CNN on a tiny model: parts, boxes from anywhere, empty cases, words."""
from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

from glipkit.apis.build import build_model
from glipkit.errors import UserError
from glipkit.models.detectors.clip_rcnn import ClipRCNN
from glipkit.models.roi_heads.masks import mask_targets
from glipkit.testing.tiny_clip_rcnn import TINY_CONFIG
from glipkit.text.bank import TextBank
from glipkit.text.query import Query

NAMES = ('red circle', 'a blue star', 'striped square')
CHANNELS = 512


def build(**changes) -> ClipRCNN:
    cfg = Config.fromstring(TINY_CONFIG, '.py')
    cfg.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    torch.manual_seed(0)
    return build_model(cfg).eval()


@pytest.fixture(scope='module')
def model() -> ClipRCNN:
    return build()


def sample(text=NAMES, boxes=((8, 8, 40, 40), ), labels=(1, ), proposals=None,
           **fields) -> DetDataSample:
    made = DetDataSample(metainfo=dict(dict(text=text, img_shape=(64, 96)), **fields))
    made.gt_instances = InstanceData(bboxes=torch.tensor(boxes).float().reshape(-1, 4),
                                     labels=torch.tensor(labels, dtype=torch.int64))
    if proposals is not None:
        made.proposals = InstanceData(bboxes=torch.tensor(proposals).float().reshape(-1, 4))
    return made


def images(count: int = 1) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, 64, 96)


# A8: what trains.

def test_gradients_reach_what_trains_and_nothing_else(model):
    model.train()
    sum(model.loss(images(), [sample()]).values()).backward()
    try:
        reached = {name for name, p in model.named_parameters()
                   if p.grad is not None and p.grad.abs().sum() > 0}
        parts = {name.split('.')[1] for name in reached if name.startswith('backbone')}
        assert parts == {'layer2', 'layer3', 'layer4', 'attnpool'}
        assert {'roi_head.bbox_pred.weight', 'roi_head.bbox_pred.bias'} <= reached
        assert not any(name.startswith('text_encoder') for name in reached)
        for group in ('conv1', 'layer1'):
            assert not any(p.requires_grad for p in getattr(model.backbone, group).parameters())
        assert not any(p.requires_grad for p in model.text_encoder.parameters())
        assert not any('bn' in name or 'downsample.1' in name
                       for name, _ in model.named_parameters())
        assert not any(part.training for part in model.text_encoder.modules())
    finally:
        model.zero_grad()
        model.eval()


def test_norms_are_the_same_after_a_step_in_training_mode(model):
    copied = copy.deepcopy(model).train()
    before = {k: v.clone() for k, v in copied.state_dict().items() if 'running' in k}
    copied.loss(images(), [sample()])
    assert before and all(torch.equal(copied.state_dict()[k], v) for k, v in before.items())


def test_a_text_encoder_that_would_train_is_refused(model):
    copied = copy.deepcopy(model)
    copied.text_encoder.requires_grad_(True)
    with pytest.raises(UserError, match='does not train'):
        copied.loss(images(), [sample()])


# A9, and what the modes give.

@pytest.mark.parametrize('names', [NAMES, NAMES[:1]])
def test_raw_outputs(model, names):
    with torch.no_grad():
        out = model(images(2), [sample(names, proposals=[(0, 0, 30, 30), (5, 5, 90, 60)]),
                                sample(names, proposals=[])])
    assert [len(one) for one in out['boxes']] == [2, 0]
    assert [tuple(one.shape) for one in out['logits']] == [(2, len(names) + 1),
                                                           (0, len(names) + 1)]
    assert [tuple(one.shape) for one in out['deltas']] == [(2, 4), (0, 4)]
    assert (out['logits'][0][:, -1] == 0).all()


def test_one_region_is_the_whole_image_as_clip_sees_it(model):
    """A7: an image of the training size and one box around it are the plain CLIP embedding."""
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        region, = model.region_features(image, [torch.tensor([[0., 0, 64, 64]])])
        torch.testing.assert_close(region, model.image_features(image), atol=1e-5, rtol=1e-5)


def test_tiny_boxes_and_boxes_beyond_the_image(model):
    boxes = [(10, 10, 10.2, 10.4), (-50, -50, 20, 20), (80, 50, 300, 200), (200, 200, 300, 300),
             (5, 5, 5, 5)]
    with torch.no_grad():
        found, = model.predict(images(), [sample(proposals=boxes)])
        features, = model.region_features(images(), [torch.tensor(boxes).float()])
    assert features.isfinite().all()
    kept = found.pred_instances.bboxes
    assert len(kept) and (kept[:, 2:] > kept[:, :2]).all()
    assert (kept >= 0).all() and (kept[:, 2] <= 96).all() and (kept[:, 3] <= 64).all()


@torch.no_grad()
def test_a_callers_boxes_are_any_numbers(model):
    two, boxes = images(2), [[8, 8, 40, 40], [0, 0, 96, 64]]
    expected = model.region_features(two, [torch.tensor(boxes).float(), torch.zeros(0, 4)])
    for given in ([boxes, []], [np.array(boxes, float), np.zeros((0, 4))],
                  [torch.tensor(boxes), torch.zeros(0)], [torch.tensor(boxes).double(), ()]):
        for one, same in zip(model.region_features(two, given), expected, strict=True):
            torch.testing.assert_close(one, same)


@pytest.mark.parametrize(('boxes', 'match'), [
    ([[[0, 0, 9, 9]]], 'each of 2 images; got boxes for 1'),
    ([[[0, 0, 9, 9]]] * 3, 'each of 2 images; got boxes for 3'),
    ([[], torch.zeros(3, 5)], r'image 1: \(3, 5\)'),
    ([[0, 0, 9, 9], []], r'image 0: \(4,\)'),
    ([[[0, 0, 9]], []], r'image 0: \(1, 3\)'),
    ([[['a', 0, 9, 9]], []], 'image 0: could not convert'),
    ([[], [[0, 0, 9, 9], [0, 0, float('nan'), 9]]], 'finite numbers; got box 1 of image 1'),
])
def test_boxes_of_another_form_are_refused(model, boxes, match):
    with pytest.raises(UserError, match=match):
        model.region_features(images(2), boxes)


def test_proposals_that_are_not_finite_are_refused(model):
    with pytest.raises(UserError, match='finite numbers; got box 0 of image 1'):
        model.predict(images(2), [sample(proposals=[]),
                                  sample(proposals=[(0, 0, float('inf'), 9)])])


def test_an_image_without_boxes(model):
    with torch.no_grad():
        found, = model.predict(images(), [sample(proposals=[])])
    assert len(found.pred_instances) == 0 and found.pred_instances.bboxes.shape == (0, 4)


@pytest.mark.parametrize('truth, proposals', [
    (True, []), (False, []), (False, [(0, 0, 20, 20)]), (True, [(0, 0, 20, 20)])])
def test_losses_of_empty_cases(model, truth, proposals):
    model.train()
    try:
        asked = sample(proposals=proposals) if truth else sample(boxes=(), labels=(),
                                                                 proposals=proposals)
        losses = model.loss(images(), [asked])
        assert set(losses) == {'loss_cls', 'loss_bbox'}
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
        if not truth:
            assert losses['loss_bbox'] == 0
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    finally:
        model.zero_grad()
        model.eval()


def test_annotations_without_area_are_left_out(model):
    losses = model.loss(images(), [sample(boxes=((8, 8, 8, 40), (8, 8, 40, 40)), labels=(0, 1))])
    assert all(loss.isfinite() for loss in losses.values())


def test_images_of_one_batch_may_ask_for_other_numbers_of_classes(model):
    one, two = sample(proposals=[(0, 0, 30, 30)]), sample(NAMES[:2], proposals=[(0, 0, 40, 30)])
    torch.manual_seed(0)
    both = model.loss(images(2), [one, two])['loss_cls']
    apart = [model.loss(image[None], [asked])['loss_cls']
             for image, asked in zip(images(2), (one, two))]
    torch.testing.assert_close(both, sum(apart) / 2)


# Boxes and masks.

def test_masks_train_and_come_in_the_size_of_the_original_image():
    model = build(**{'roi_head.mask_head': dict(type='ClipMaskHead', in_channels=CHANNELS,
                                                channels=8)})
    asked = sample()
    masks = torch.zeros(1, 64, 96, dtype=torch.uint8)
    masks[:, 8:40, 8:40] = 1
    asked.gt_instances.masks = BitmapMasks(masks.numpy(), 64, 96)
    losses = model.loss(images(), [asked])
    assert losses['loss_mask'].item() == pytest.approx(0.6931, abs=0.02)
    losses['loss_mask'].backward()
    assert model.roi_head.mask_head.deconv.weight.grad.abs().sum() > 0
    empty = sample(boxes=(), labels=())
    empty.gt_instances.masks = BitmapMasks(masks.numpy()[:0], 64, 96)
    assert model.loss(images(), [empty])['loss_mask'] == 0
    with torch.no_grad():
        found, none = model.predict(images(2), [
            sample(scale_factor=(2., 2.), ori_shape=(32, 48)), sample(proposals=[])])
    found = found.pred_instances
    assert found.masks.shape == (len(found), 32, 48) and found.masks.dtype == torch.bool
    assert none.pred_instances.masks.shape == (0, 64, 96)
    assert len(model.layer_groups()['boxes']) == 2


def test_mask_targets_by_hand():
    square = np.zeros((1, 8, 8), np.uint8)
    square[0, 2:6, 2:4] = 1
    polygon = PolygonMasks([[np.array([2., 2, 4, 2, 4, 6, 2, 6])]], 8, 8)
    for masks in (BitmapMasks(square, 8, 8), polygon):
        inside = mask_targets(masks, torch.tensor([0]), torch.tensor([[2., 2, 6, 6]]), 4)
        assert inside.tolist() == [[[1, 1, 0, 0]] * 4]


def test_regressed_boxes_move(model):
    moved = build()
    with torch.no_grad():  # untrained: not at all
        still, = moved.predict(images(), [sample(NAMES[:1], proposals=[(10, 10, 30, 30)])])
    torch.testing.assert_close(still.pred_instances.bboxes[0], torch.tensor([10., 10, 30, 30]))
    moved.roi_head.bbox_pred.bias.data[:] = torch.tensor([1., 0, 0, 0])  # a tenth of the width
    with torch.no_grad():
        at, = moved.predict(images(), [sample(NAMES[:1], proposals=[(10, 10, 30, 30)])])
    torch.testing.assert_close(at.pred_instances.bboxes[0], torch.tensor([12., 10, 32, 30]))


# The words.

def test_a_class_list_is_embedded_once(model, monkeypatch):
    calls = []
    monkeypatch.setattr(model.text_encoder, 'forward', lambda tokens, own=model.text_encoder
                        .forward: calls.append(len(tokens)) or own(tokens))
    names = [f'thing {i}' for i in range(1203)]
    with torch.no_grad():
        for _ in range(3):
            model.classify_regions(images(), [torch.tensor([[0., 0, 30, 30]])],
                                   Query.for_classes(names))
    assert sum(calls) == 1203


def test_phrases_of_a_caption_are_labels_by_their_words(model):
    caption, phrases = 'a red circle and a blue star', [(2, 12), (17, 28)]
    with torch.no_grad():
        by_phrase, = model.predict(images(), [sample(caption, phrases=phrases)])
        by_name, = model.predict(images(), [sample(('red circle', 'a blue star'))])
        parsed, = model.predict(images(), [sample(caption)])
    for a, b in ((by_phrase, by_name), (parsed, by_phrase)):
        if a is by_phrase:
            torch.testing.assert_close(a.pred_instances.scores, b.pred_instances.scores)
        assert set(a.pred_instances.labels.tolist()) <= {0, 1}
    losses = model.loss(images(), [sample(caption, phrases=phrases, labels=(1, ))])
    assert losses['loss_cls'].isfinite()


def test_templates_of_a_query_win_and_a_hand_written_prompt_is_read_as_it_stands(model):
    boxes = [torch.tensor([[0., 0, 30, 30], [5, 5, 60, 60]])]
    ask = lambda query: model.classify_regions(images(), boxes, query)[0]  # noqa: E731
    with torch.no_grad():
        plain = ask(Query.for_classes(NAMES[:2]))
        filled = ask(Query.for_classes(NAMES[:2], templates=('a photo of a {}.', )))
        written = ask(Query.for_classes(NAMES[:2], {
            name: dict(prefix='a photo of a ', suffix='.') for name in NAMES[:2]}))
    assert not torch.allclose(plain, filled)
    torch.testing.assert_close(filled, written)
    torch.testing.assert_close(plain.sum(1), torch.ones(2))


def test_names_as_data_sets_write_them(model):
    prompts = model.prompts(Query.for_classes(['flip-flop_(sandal)', 'salt, pepper']))
    assert [one.caption for one in prompts] == ['flip-flop sandal', 'salt pepper']
    assert [one.names for one in prompts] == [('flip-flop_(sandal)', ), ('salt, pepper', )]
    with pytest.raises(UserError, match='a letter'):
        model.prompts(Query.for_classes(['_']))


def test_text_features_take_templates(model):
    with torch.no_grad():
        plain = model.text_features(['a dog.', 'the dog.'])
        mean = model.text_features(['dog'], ['a {}.', 'the {}.'])
    torch.testing.assert_close(mean[0], plain.mean(0))


def test_a_single_text_is_no_list(model):
    with pytest.raises(UserError, match=r"pass \['a dog'\]"):
        model.text_features('a dog')


def test_what_a_caller_does_to_text_features_is_not_remembered(model):
    found = model.text_features(['a dog', 'a cat'])
    before = found.clone()
    found /= found.norm(dim=1, keepdim=True)
    torch.testing.assert_close(model.text_features(['a dog', 'a cat']), before)


def test_a_bank_of_another_width_is_refused(model):
    with pytest.raises(UserError, match='embeddings of 64 channels'):
        model.set_bank(['dog'], torch.randn(1, 32))


def test_a_bank_in_the_config(model, tmp_path):
    rows = torch.randn(2, 64)
    TextBank(('flip-flop_(sandal)', 'dog'), rows).write(tmp_path / 'bank.safetensors')
    banked = build(text_bank=dict(path=str(tmp_path / 'bank.safetensors')))
    assert torch.equal(banked._matrix(Query.for_classes(('dog', 'flip-flop_(sandal)'))),
                       rows.flip(0))
    mixed = banked._matrix(Query.for_classes(('cat', 'dog')))
    assert torch.equal(mixed[1], rows[1])
    torch.testing.assert_close(mixed[:1], model._matrix(Query.for_classes(('cat', ))))
    TextBank(('dog', ), rows[:1, :32]).write(tmp_path / 'narrow.safetensors')
    with pytest.raises(UserError, match='embeddings of 64 channels'):
        build(text_bank=dict(path=str(tmp_path / 'narrow.safetensors')))


def test_a_text_encoder_of_another_width_is_refused():
    with pytest.raises(UserError, match='text encoder of 64 channels'):
        build(**{'text_encoder.embed_dim': 32})


# What the boxes come from.

def test_fusion_needs_boxes_with_logits():
    model = build(**{'test_cfg.fusion': 'raw'})
    with pytest.raises(UserError, match='boxes with logits'), torch.no_grad():
        model.predict(images(), [sample()])
    asked = sample(proposals=[(0, 0, 30, 30), (30, 0, 90, 60)])
    asked.proposals.logits = torch.tensor([4., -1.])
    with torch.no_grad():
        found, = model.predict(images(), [asked])
    # The second box is gone, for all classes.
    assert (found.pred_instances.bboxes[:, 0] == 0).all() and len(found.pred_instances)


def test_given_boxes_are_missed():
    model = build(box_source=dict(type='GivenBoxes', _delete_=True))
    with pytest.raises(UserError, match='boxes with every image'), torch.no_grad():
        model.predict(images(), [sample()])


def test_truth_is_a_source_of_boxes():
    model = build(box_source=dict(type='TruthBoxes', _delete_=True))
    with torch.no_grad():
        found, = model.predict(images(), [sample()])
        assert set(map(tuple, found.pred_instances.bboxes.tolist())) == {(8., 8., 40., 40.)}
        mixed = model(images(2), [sample(), sample(proposals=[(0, 0, 9, 9)] * 3)])
    assert [len(one) for one in mixed['boxes']] == [1, 3]
    bare = sample()
    del bare.gt_instances
    with pytest.raises(UserError, match='annotated images'):
        model.predict(images(), [bare])


def test_settings_are_checked():
    for wrong in (dict(fusion='mean'), dict(report='rpn')):
        with pytest.raises(UserError):
            build(**{f'test_cfg.{key}': value for key, value in wrong.items()})
