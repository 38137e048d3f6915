"""F-ViT: its blend of scores, what trains, masks, settings and errors."""
from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

from glipkit.apis.build import build_model
from glipkit.apis.predictor import Predictor
from glipkit.checkpoints import save_checkpoint
from glipkit.errors import UserError
from glipkit.models.alignment.score_fusion import blend_scores
from glipkit.models.detectors.fvit import FVit
from glipkit.models.detectors.fvit_settings import FVitSettings
from glipkit.models.losses.region_classes import FocalScaledClassLoss
from glipkit.testing.tiny_fvit import MASKS, TINY_CONFIG, write_config
from glipkit.text.query import Query

NAMES = ('person', 'cat')  # base and novel in OV-COCO


def build(**fields) -> FVit:
    cfg = Config.fromstring(TINY_CONFIG, '.py')
    cfg.merge_from_dict({f'model.{name}': value for name, value in fields.items()})
    torch.manual_seed(0)
    return build_model(cfg).eval()


@pytest.fixture(scope='module')
def model() -> FVit:
    return build()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def sample(boxes=((8, 8, 40, 40), ), labels=(0, ), names=NAMES, **fields) -> DetDataSample:
    made = DetDataSample(metainfo=dict(text=names, img_shape=(64, 96), **fields))
    made.gt_instances = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32),
                                     labels=torch.tensor(labels))
    return made


def test_a_blend_by_hand():
    p, q = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.2, 0.7, 0.1]])
    base = torch.tensor([True, False, True])  # the last one is the background
    torch.testing.assert_close(blend_scores(p, q, base, 0, 0), p)
    torch.testing.assert_close(blend_scores(p, q, base, 1, 1), q)
    found = blend_scores(p, q, base, 0.1, 0.8)[0]
    wanted = [0.5**0.9 * 0.2**0.1, 0.25**0.2 * 0.7**0.8, 0.25**0.9 * 0.1**0.1]
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_base_classes_are_those_of_a_split_or_a_list_and_else_all():
    assert FVitSettings().trained(NAMES).tolist() == [True, True]
    split = FVitSettings(base_classes='ov-coco/base')
    assert split.trained(['Person', 'cat', 'zebra crossing']).tolist() == [True, False, False]
    listed = FVitSettings(base_classes=['traffic_light'])
    assert listed.trained(['traffic light']).tolist() == [True]


def test_detections_follow_the_weights_of_both_classifiers(model, images, monkeypatch):
    asked = sample()
    with torch.no_grad():
        boxes, = model.propose_boxes(images, [asked])
        seen, = model.classify_regions(images, [boxes], Query.for_classes(NAMES))
        monkeypatch.setattr(model, 'test_settings', FVitSettings(alpha=1, beta=1))
        scores, = model(images, [asked])['scores']
        monkeypatch.setattr(model, 'test_settings', FVitSettings(alpha=0, beta=0))
        out = model(images, [asked])
    torch.testing.assert_close(scores[:, 0] / scores[:, :2].sum(1), seen[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(out['scores'][0], out['logits'][0].softmax(1))


def test_boxes_that_a_sample_brings_win(model, images):
    asked = sample()
    asked.proposals = InstanceData(bboxes=torch.tensor([[4., 4, 30, 30], [0, 0, 90, 60]]))
    with torch.no_grad():
        assert torch.equal(model.propose_boxes(images, [asked])[0], asked.proposals.bboxes)
        assert len(model(images, [asked])['scores'][0]) == 2
        asked.proposals = InstanceData(bboxes=torch.zeros(0, 4))
        assert not len(model.predict(images, [asked])[0].pred_instances)


def test_tower_and_text_encoder_never_train(images):
    model = build().train()
    assert not any(part.training for tower in (model.backbone, model.text_encoder)
                   for part in tower.modules())
    sum(model.loss(images, [sample()]).values()).backward()
    without = {name.partition('.')[0] for name, p in model.named_parameters() if p.grad is None}
    assert without == {'backbone', 'text_encoder'}


def test_ignored_classes_are_no_negatives(images):
    model = build(ignored_classes='ov-coco/novel')
    boxes = [torch.tensor([[8., 8, 40, 40], [50, 10, 60, 20]])]
    features = torch.rand(2, 64)
    logits = model._trained_logits(features, sample(), sample().gt_instances)
    assert (logits[:, 1] == -torch.inf).all() and logits[:, [0, 2]].isfinite().all()
    assert len(boxes[0]) == len(logits)
    assert torch.isfinite(model.loss(images, [sample()])['loss_cls'])
    with pytest.raises(UserError, match="classes that are not ignored; got one of 'cat'"):
        model.loss(images, [sample(labels=(1, ))])


def test_weights_of_the_class_loss():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    masked = logits.index_fill(1, torch.tensor([1]), -torch.inf).requires_grad_()
    labels = torch.tensor([0, 3, 3])
    FocalScaledClassLoss(background_weight=0.6, gamma=0.)(masked, labels).backward()
    assert (masked.grad[:, 1] == 0).all() and masked.grad[0, 0] != 0
    other = masked.detach().clone().requires_grad_()
    FocalScaledClassLoss(background_weight=1., gamma=0.)(other, labels).backward()
    torch.testing.assert_close(masked.grad[0], other.grad[0])
    torch.testing.assert_close(masked.grad[1:], 0.6 * other.grad[1:])


def test_masks_of_any_class(images):
    model = build(**{f'roi_head.{name}': part for name, part in MASKS.items()}).train()
    asked, pixels = sample(), torch.zeros(1, 64, 96, dtype=torch.uint8).numpy()
    pixels[:, 8:40, 8:40] = 1
    asked.gt_instances.masks = BitmapMasks(pixels, 64, 96)
    losses = model.loss(images, [asked])
    losses['loss_mask'].backward()
    assert 0 < losses['loss_mask'] < 5 and model.roi_head.mask_head.conv_logits.weight.grad.any()
    asked = sample(scale_factor=(0.5, 0.5), ori_shape=(128, 192))
    with torch.no_grad():
        found = model.eval().predict(images, [asked])[0].pred_instances
    assert found.masks.dtype == torch.bool and found.masks.shape == (len(found), 128, 192)


def test_the_batch_changes_nothing(model, images):
    """An image stands in its own square, whatever the batch has been filled up to."""
    padded = torch.nn.functional.pad(images, (0, 64, 0, 128))
    with torch.no_grad():
        alone = model.predict(images, [sample()])[0].pred_instances
        beside = model.predict(padded, [sample()])[0].pred_instances
    assert torch.equal(alone.bboxes, beside.bboxes) and torch.equal(alone.scores, beside.scores)


@pytest.mark.parametrize('fields, message', [
    ({'test_cfg.alpha': 1.5}, 'alpha from 0 to 1; got 1.5'),
    ({'test_cfg.beta': -0.1}, 'beta from 0 to 1; got -0.1'),
    ({'test_cfg.vlm_temperature': 0}, 'a vlm_temperature above 0; got 0'),
    ({'test_cfg.fusion': 'raw'}, "fusion='none'"),
    ({'test_cfg.base_classes': 'ov-coco/rare'}, 'a group of ov-coco'),
    ({'ignored_classes': 'coco/novel'}, 'a split: ov-coco, ov-lvis'),
    ({'taps': (0, 1, 2)}, r'four layers in rising order, from 0 to the last one, 3; got \[0, 1'),
    ({'roi_head.mask_head': MASKS['mask_head']}, 'mask_head and mask_roi_extractor'),
    ({'backbone': dict(type='ClipResNet', layers=(1, 1, 1, 1), width=16, embed_dim=64, heads=8,
                       image_size=64, _delete_=True)}, 'a tower with a dense map')])
def test_what_does_not_fit_is_refused_in_one_line(fields, message):
    with pytest.raises(UserError, match=message) as caught:
        build(**fields)
    assert '\n' not in str(caught.value)


def test_an_image_of_one_patch_is_refused(model):
    with pytest.raises(UserError, match='at least two patches per side; got 1 x 1'):
        model.predict(torch.zeros(1, 3, 9, 16), [DetDataSample(metainfo=dict(
            text=NAMES, img_shape=(9, 16)))])


def test_the_predictor_takes_any_names(tmp_path):
    config = write_config(tmp_path)
    save_checkpoint(build(), tmp_path / 'weights.safetensors')
    predict = Predictor(config, tmp_path / 'weights.safetensors', score_threshold=0.)
    image = torch.randint(0, 255, (70, 50, 3), dtype=torch.uint8).numpy()
    found, = predict(image, classes=['red circle', 'anything else'])
    assert set(found.names) <= {'red circle', 'anything else'} and len(found.scores)
    assert (found.boxes >= 0).all() and (found.boxes[:, 2] <= 50).all()
    named = predict.classify(image, [[0, 0, 30, 30]], ['a', 'b', 'c'])
    assert named.shape == (1, 3) and named.sum() == pytest.approx(1, abs=1e-5)
