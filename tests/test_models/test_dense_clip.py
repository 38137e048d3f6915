"""The detector of dense CLIP features: its public surface, its squares and its errors."""
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from glipkit.apis.build import build_model
from glipkit.apis.predictor import Predictor
from glipkit.errors import UserError
from glipkit.models.detectors.dense_clip import DenseClip
from glipkit.testing.tiny_dense_clip import TINY_CONFIG
from glipkit.text.query import Query
from tests.clipself_golden import case, official_state
from tests.clipself_golden import images as golden_images

NAMES = ('red circle', 'a blue star')


@pytest.fixture(scope='module')
def model() -> DenseClip:
    torch.manual_seed(0)
    return build_model(Config.fromstring(TINY_CONFIG, '.py')).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def changed(**fields) -> DenseClip:
    cfg = Config.fromstring(TINY_CONFIG, '.py')
    cfg.model.update(fields)
    return build_model(cfg).eval()


def test_official_embeddings_of_classes():
    model = changed(templates='detection', text_encoder=dict(
        type='ClipTextEncoder', width=64, heads=2, layers=2, embed_dim=64, activation='gelu'))
    model.text_encoder.load_state_dict(official_state('eva_tiny', 'text.'))
    meta, wanted = case('prompts_eva_tiny')
    for name, sentences in zip(meta['names'], meta['prompts']):
        written = model.label_embeddings.write(model.templates, name)
        assert sorted(written) == sorted(sentences)
    with torch.no_grad():
        found = model.text_features(meta['names'], 'detection')
        torch.testing.assert_close(found, wanted['embeddings'], atol=1e-5, rtol=0)
        rows = model._matrix(Query.for_classes(meta['names']))
    torch.testing.assert_close(F.normalize(rows, dim=1), found, atol=1e-6, rtol=0)


@pytest.mark.parametrize('ask', ['image_features', 'dense_features'])
def test_one_image_is_no_batch(model, images, ask):
    with pytest.raises(UserError, match=r'\(B, 3, H, W\); got Tensor \(3, 64, 96\); pass image'):
        getattr(model, ask)(images[0])
    with pytest.raises(UserError, match='three channels'):
        getattr(model, ask)(images[:, :2])
    with pytest.raises(UserError, match='images'):
        model.region_features(images[0], [torch.zeros(0, 4)])


def test_the_public_surface(model, images):
    boxes = [torch.tensor([[0., 0, 32, 32], [16, 0, 96, 64]])]
    with torch.no_grad():
        assert model.image_features(images).shape == (1, 64)
        dense = model.dense_features(images)
        regions, = model.region_features(images, boxes)
        masks = torch.zeros(2, 64, 96, dtype=torch.bool)
        masks[0, 16:48, 32:64] = True
        named, = model.mask_features(images, [masks])
        cells, = model.mask_features(images, [masks[:, ::16, ::16]])
        assert torch.equal(model.mask_features(images, [masks.numpy()])[0], named)
        scores, = model.classify_regions(images, boxes, Query.for_classes(NAMES))
        texts = model.text_features(NAMES)
    assert dense.shape == (1, 64, 4, 6) and regions.shape == (2, 64)
    torch.testing.assert_close(dense.norm(dim=1), torch.ones(1, 4, 6))
    wanted = F.normalize(dense[0, :, 1:3, 2:4].flatten(1).sum(1), dim=0)
    torch.testing.assert_close(named[0], wanted)
    assert torch.equal(named, cells) and not named[1].any()
    logits = regions @ F.normalize(texts, dim=1).T / 0.01
    torch.testing.assert_close(scores, logits.softmax(1), atol=1e-5, rtol=0)


def test_an_image_stands_in_a_black_square(model, images):
    """The official code sees squares alone; without padding the difference is a real one."""
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    square = (-mean / std).expand(1, 3, 96, 96).clone()
    square[..., :64, :] = images
    stretched = changed(square=False)
    stretched.load_state_dict(model.state_dict())
    with torch.no_grad():
        found = model.dense_features(images)
        wanted = model.backbone.dense_map(square)[:, :, :4]
        other = stretched.dense_features(images)
        assert torch.equal(other, stretched.backbone.dense_map(images))
    torch.testing.assert_close(found, wanted)
    assert (1 - (found * other).sum(1)).max() > 1e-4


@pytest.mark.parametrize(('name', 'tower', 'cosine'), [('eva_tiny', 'EvaViT', .583),
                                                       ('openai_tiny', 'ClipViT', .766)])
def test_how_far_a_stretched_map_is_from_the_official_square(name, tower, cosine):
    """Positions stretched to the image mean something else than those of a square: the official
    weights of the golden cases give the maps these mean cosines, where equal maps have 1."""
    model = changed(backbone=dict(type=tower, image_size=64, width=128, layers=3, heads=2,
                                  embed_dim=64))
    model.backbone.load_state_dict(official_state(name, 'visual.'))
    image = golden_images(3, (1, 3, 64, 96))
    square = model._black(image).expand(1, 3, 96, 96).clone()
    square[..., :64, :] = image
    with torch.no_grad():
        wanted = model.backbone.dense_map(square)
        assert torch.equal(model.dense_features(image), wanted[:, :, :4])
        model.square = False
        stretched = model.dense_features(image)
    assert (stretched * wanted[:, :, :4]).sum(1).mean().item() == pytest.approx(cosine, abs=.05)


def test_no_pixel_is_lost_where_patches_do_not_fit(model):
    with torch.no_grad():
        assert model.dense_features(torch.zeros(1, 3, 65, 90)).shape == (1, 64, 5, 6)
        found, = model.mask_features(torch.zeros(1, 3, 65, 90),
                                     [torch.ones(1, 65, 90, dtype=torch.bool)])
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1))


def test_the_padding_of_a_batch_changes_nothing(model, images):
    def ask(batch: torch.Tensor) -> InstanceData:
        sample = DetDataSample(metainfo=dict(text=NAMES, img_shape=(64, 96)))
        with torch.no_grad():
            return model.predict(batch, [sample])[0].pred_instances

    alone, padded = ask(images), ask(F.pad(images, (0, 32, 0, 64)))
    torch.testing.assert_close(alone.scores, padded.scores, atol=1e-5, rtol=0)
    assert torch.equal(alone.labels, padded.labels) and len(alone.scores)


def test_half_precision_of_the_computation(model, images):
    boxes = [torch.tensor([[0., 0, 32, 32], [16, 0, 96, 64]])]
    masks = [torch.ones(1, 64, 96, dtype=torch.bool)]
    with torch.no_grad():
        wanted = model.region_features(images, boxes)[0]
        with torch.autocast('cpu', dtype=torch.bfloat16):
            found, = model.region_features(images, boxes)
            assert model.mask_features(images, masks)[0].shape == (1, 64)
    assert found.dtype == torch.float32 and (found * wanted).sum(1).min() > 0.99


def test_prediction_from_pictures(model, tmp_path):
    from glipkit.testing import tiny_dense_clip
    predict = Predictor(tiny_dense_clip.write_config(tmp_path), 'random', score_threshold=0.)
    picture = np.random.RandomState(0).randint(0, 255, (48, 80, 3)).astype(np.uint8)
    found, = predict(picture, classes=list(NAMES))
    assert len(found) and set(found.names) <= set(NAMES) and found.boxes.max() <= 80
    scores = predict.classify(picture, [[0, 0, 40, 40]], list(NAMES))
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)


def test_what_cannot_be_asked(model, images):
    for masks in (torch.zeros(1, 63, 96), torch.zeros(64, 96)):
        with pytest.raises(UserError, match='as large as the image') as caught:
            model.mask_features(images, [masks.bool()])
        assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match='masks of 1 images'):
        model.mask_features(images, [])
    with pytest.raises(UserError, match='a tower with a dense map'):
        changed(backbone=dict(type='ClipResNet', layers=(1, 1, 1, 1), width=16, embed_dim=64,
                              heads=8, image_size=64))
    with pytest.raises(UserError, match='a letter or another sign'):
        model.prompts(Query.for_classes(['_']))


def test_losses_without_boxes_and_with(model, images):
    sample = DetDataSample(metainfo=dict(text=NAMES, img_shape=(64, 96)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[0., 0, 32, 32]]),
                                       labels=torch.tensor([1]))
    loss = model.loss(images, [sample])['loss_cls']
    with torch.no_grad():
        scores, = model.classify_regions(images, [sample.gt_instances.bboxes],
                                         Query.for_classes(NAMES))
    torch.testing.assert_close(loss.detach(), -scores[0, 1].log(), atol=1e-4, rtol=1e-4)
    sample.gt_instances = sample.gt_instances[:0]
    assert model.loss(images, [sample])['loss_cls'] == 0
