"""The word loss: which cells are asked, for which words, and what they learn."""
import math

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from glipkit.models.alignment.token_logits import TokenAlignment
from glipkit.models.losses.words import WordLoss, cells_at
from glipkit.registry import MODELS
from glipkit.testing.tiny_glip import TINY_CONFIG
from glipkit.text.encoders.bert import BertEncoder
from glipkit.text.encoders.words import word_features


def test_cells_are_those_that_points_lie_in():
    level = torch.arange(12.).reshape(1, 3, 4)  # 3 rows of 4 cells, 8 pixels each
    points = torch.tensor([[0., 0.], [15.9, 8.], [31., 23.], [99., -5.]])
    assert cells_at(level, points, 8).flatten().tolist() == [0, 5, 11, 3]


def alignment_of(dim):
    """An alignment whose logits are plain dot products, less two."""
    align = TokenAlignment(dim, dim)
    with torch.no_grad():
        align.text_projection.weight.copy_(2 * torch.eye(dim))
        align.text_projection.bias.zero_()
        align.bias0.fill_(-2.)
    return align


def test_by_hand():
    levels = [torch.zeros(2, 2, 4, 4), torch.zeros(2, 2, 2, 2)]
    levels[0][0, :, 1, 2] = torch.tensor([3., 0.])
    levels[1][0, :, 0, 1] = torch.tensor([0., 1.])
    box = torch.tensor([[16., 8., 24., 16.]])  # centre (20, 12): cell (1, 2) and cell (0, 1)
    loss = WordLoss(strides=(8, 16), loss_weight=2., shift=0.)
    got = loss(levels, [box, torch.zeros(0, 4)],
               [torch.tensor([[True, False]]), torch.zeros(0, 2, dtype=torch.bool)],
               [torch.eye(2), torch.eye(2)], alignment_of(2))
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    # Logits 3 - 2 and -2 on the fine level, -2 and 1 - 2 on the coarse one.
    assert got.item() == pytest.approx(
        2 * (softplus(-1.) + softplus(-2.) + softplus(2.) + softplus(-1.)) / 4)


def test_nothing_to_ask_is_zero_with_a_gradient():
    levels = [torch.ones(1, 2, 4, 4, requires_grad=True)]
    got = WordLoss(strides=(8,))(levels, [torch.zeros(0, 4)], [torch.zeros(0, 3).bool()],
                                 [torch.eye(3)[:, :2]], alignment_of(2))
    got.backward()
    assert got.item() == 0 and levels[0].grad.abs().sum() == 0


def test_words_are_read_alone():
    torch.manual_seed(0)
    encoder = BertEncoder(hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16,
                          max_positions=32, dropout=0.).eval()
    both = word_features(encoder, ['cup', 'teddy bear'])
    assert torch.allclose(both[0], encoder(encoder.tokenizer(['cup'])).hidden[0, 1], atol=1e-6)
    bear = encoder(encoder.tokenizer(['teddy bear'])).hidden[0, 1:3].mean(0)
    assert torch.allclose(both[1], bear, atol=1e-6)


def sample(text, boxes, **more):
    data = DetDataSample(metainfo=dict(text=text, img_shape=(64, 64), **more))
    data.gt_instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4),
                                     labels=torch.zeros(len(boxes), dtype=torch.long))
    return data


def test_a_detector_learns_words_from_class_prompts_alone():
    torch.manual_seed(0)
    config = Config.fromstring(TINY_CONFIG, '.py').model
    strides = config['bbox_head']['strides']
    model = MODELS.build(dict(config, loss_words=dict(type='WordLoss', strides=strides)))
    images = torch.randn(2, 3, 64, 64)
    classes = sample(('red cup', 'blue cup'), [[8., 8., 40., 40.]])
    caption = sample('a red cup', [[8., 8., 40., 40.]], tokens_positive=[[(2, 9)]])
    losses = model.loss(images, [classes, caption])
    assert losses['loss_words'] > 0
    losses['loss_words'].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())
    assert model.loss(images[:1], [caption])['loss_words'] == 0
    assert 'loss_words' not in MODELS.build(config).loss(images[:1], [classes])
