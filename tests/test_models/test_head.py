"""Box arithmetic, alignment, token loss, assignment and post-processing on hand-worked numbers."""
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glipkit.models.alignment.label_pooling import pool_to_labels
from glipkit.models.alignment.token_logits import TokenAlignment
from glipkit.models.heads.box_coder import centerness, decode, encode
from glipkit.models.heads.glip_head import GLIPHead
from glipkit.models.heads.postprocess import (
    Candidates,
    real_ones,
    select_at_once,
    select_candidates,
    suppress,
)
from glipkit.models.heads.postprocess import TestSettings as Settings
from glipkit.models.losses.token_focal import TokenFocalLoss
from glipkit.models.necks.fpn import DropBlockFPN
from glipkit.text.structures import TextFeatures


def small_head(**changes) -> GLIPHead:
    torch.manual_seed(0)
    return GLIPHead(**dict(dict(
        in_channels=16, text_dim=8, num_blocks=1, strides=(8, 16), anchor_scale=8,
        dyconv=dict(type='DyConv', channels=16, num_groups=4)), **changes))


def test_anchors_are_the_official_ones():
    head = small_head(strides=(8, 16, 32, 64, 128))
    levels = [torch.zeros(1, 16, h, w) for h, w in ((100, 168), (50, 84), (25, 42), (13, 21),
                                                   (7, 11))]
    text = TextFeatures(torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool))
    anchors = head.anchors(head(levels, text))
    assert sum(len(a) for a in anchors) == 22400
    assert anchors[0][0].tolist() == [-28, -28, 35, 35]
    assert anchors[0][1].tolist() == [-20, -28, 43, 35]
    assert anchors[0][168].tolist() == [-28, -20, 35, 43]


def test_encode_by_hand():
    anchor = torch.tensor([[0., 0., 9., 9.]])  # 10 wide, centre 4.5
    box = torch.tensor([[2., 0., 21., 4.]])  # 20 x 5, centre (11.5, 2)
    expected = [7.0, -2.5, 5 * math.log(2), 5 * math.log(0.5)]
    assert encode(box, anchor)[0].tolist() == pytest.approx(expected)


# Sides of 8 to 200 pixels keep the ratio of sides below the 62.5 at which decoding clamps.
BOX = st.lists(st.floats(8, 200), min_size=4, max_size=4)


@given(BOX, BOX)
def test_decode_inverts_encode(a, b):
    anchor = torch.tensor([[a[0], a[1], a[0] + a[2], a[1] + a[3]]], dtype=torch.float64)
    box = torch.tensor([[b[0], b[1], b[0] + b[2], b[1] + b[3]]], dtype=torch.float64)
    torch.testing.assert_close(decode(encode(box, anchor), anchor), box)


def test_decode_limits_the_size():
    anchor = torch.tensor([[0., 0., 9., 9.]])
    box = decode(torch.tensor([[0., 0., 1e4, 0.]]), anchor)[0]
    assert box[2] - box[0] + 1 == pytest.approx(625.0)


def test_centerness_by_hand():
    # Centre (4, 4): left 4, right 16, top 4, bottom 4 -> sqrt(4/16 * 4/4).
    assert centerness(torch.tensor([[0., 0., 8., 8.]]), torch.tensor([[0., 0., 20., 8.]])) == 0.5


def test_alignment_starts_at_the_prior_where_regions_are_zero():
    alignment = TokenAlignment(region_dim=4, text_dim=6)
    classifier = alignment.encode_text(torch.randn(2, 3, 6))
    logits = alignment(torch.zeros(2, 5, 4), classifier)
    assert logits.shape == (2, 5, 3)
    torch.testing.assert_close(logits, torch.full_like(logits, -math.log(99)))


def test_alignment_by_hand():
    alignment = TokenAlignment(region_dim=2, text_dim=2)
    with torch.no_grad():
        alignment.text_projection.weight.copy_(torch.tensor([[2., 0.], [0., 4.]]))
        alignment.text_projection.bias.copy_(torch.tensor([1., 0.]))
        alignment.bias_lang.copy_(torch.tensor([0.5, 1.]))
        alignment.bias0.fill_(-1)
        alignment.log_scale.fill_(math.log(2))
    tokens = torch.tensor([[[3., 4.]]])  # unit (0.6, 0.8); P = (2*.3+1, 4*.4) / 2
    logits = alignment(torch.tensor([[[1., 10.]]]), alignment.encode_text(tokens))
    assert logits.item() == pytest.approx((1.6 + 16) / 2 + (0.3 + 0.8) - 1)


def test_label_scores_are_means_and_tokenless_labels_score_zero():
    scores = torch.tensor([[[0.2, 0.4, 0.9]]])
    token_map = torch.tensor([[True, True, False], [False, False, True], [False] * 3])
    assert pool_to_labels(scores, token_map)[0, 0].tolist() == pytest.approx([0.3, 0.9, 0.0])


def test_focal_loss_by_hand_ignores_padding():
    loss = TokenFocalLoss(alpha=0.25, gamma=2.0)
    logits = torch.tensor([[[0.0, math.log(3), 5.0]]])  # p = 0.5, 0.75, -
    targets = torch.tensor([[[1., 0., 1.]]])
    mask = torch.tensor([[True, True, False]])
    expected = 0.25 * 0.25 * math.log(2) + 0.75 * 0.75**2 * math.log(4)
    assert loss(logits, targets, mask, torch.tensor(2.)).item() == pytest.approx(expected / 2)


@pytest.mark.parametrize('boxes', [
    torch.zeros(0, 4),
    torch.tensor([[500., 500., 520., 520.]]),
], ids=['no box', 'no anchor centre inside'])
def test_losses_without_positives_are_finite_and_reach_all_parts(boxes):
    head = small_head()
    levels = [torch.randn(1, 16, 4, 4), torch.randn(1, 16, 2, 2)]
    text = TextFeatures(torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool))
    losses = head.loss(head(levels, text), text.mask, [boxes],
                       [torch.ones(len(boxes), 5, dtype=torch.bool)])
    assert losses['loss_bbox'] == 0 and losses['loss_centerness'] == 0
    assert torch.isfinite(losses['loss_cls']) and losses['loss_cls'] > 0
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in head.parameters())


def test_boxes_without_tokens_are_left_out():
    head = small_head()
    levels = [torch.randn(1, 16, 8, 8), torch.randn(1, 16, 4, 4)]
    text = TextFeatures(torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool))
    outputs = head(levels, text)
    named = torch.tensor([[8., 8., 50., 50.]])
    tokens = torch.tensor([[False, True, False, False, False]])
    alone = head.loss(outputs, text.mask, [named], [tokens])
    both = head.loss(outputs, text.mask, [torch.cat([named, torch.tensor([[0., 0., 40., 40.]])])],
                     [torch.cat([tokens, torch.zeros(1, 5, dtype=torch.bool)])])
    assert alone == both


def test_candidates_threshold_and_rank_per_level():
    scores = [torch.tensor([[0.9, 0.04], [0.5, 0.5]]), torch.tensor([[0.2, 0.0]])]
    centers = [torch.tensor([0.25, 1.0]), torch.tensor([0.5])]
    boxes = [torch.tensor([[0., 0., 1., 1.], [2., 2., 3., 3.]]), torch.tensor([[5., 5., 9., 9.]])]
    found = select_candidates(scores, centers, boxes, Settings(nms_pre=2))
    rows = sorted(zip(found.scores.tolist(), found.labels.tolist(), found.boxes[:, 0].tolist()))
    assert rows == [(pytest.approx(0.1**0.5), 0, 5.0), (pytest.approx(0.5**0.5), 0, 2.0),
                    (pytest.approx(0.5**0.5), 1, 2.0)]


def test_candidates_of_a_batch_by_shapes_alone_are_those_of_each_image():
    """As on a GPU: every image has as many, and those without a score are dropped."""
    torch.manual_seed(0)
    scores = [torch.rand(2, n, 3) * torch.tensor([.3, .06])[:, None, None] for n in (20, 6, 2)]
    centers, boxes = [torch.rand(2, n) for n in (20, 6, 2)], [torch.rand(2, n, 4)
                                                              for n in (20, 6, 2)]
    settings = Settings(nms_pre=7)
    batch = select_at_once(scores, centers, boxes, settings)
    assert batch.boxes.shape == (2, 7 + 7 + 6, 4)
    for i in range(2):
        found = real_ones(batch.where(i))
        wanted = select_candidates(*([one[i] for one in part]
                                     for part in (scores, centers, boxes)), settings)
        assert 0 < len(found.scores) < 20
        for name in ('scores', 'labels', 'boxes'):
            pairs = [getattr(one, name)[one.scores.argsort()] for one in (found, wanted)]
            torch.testing.assert_close(*pairs, rtol=0, atol=0)


def test_suppression_is_per_label_and_keeps_ties_at_the_limit():
    boxes = torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 9.], [0., 0., 9., 9.],
                          [20., 20., 60., 60.]])
    candidates = Candidates(boxes, torch.tensor([0.9, 0.8, 0.5, 0.5]), torch.tensor([0, 0, 1, 0]))
    result = suppress(candidates, (40, 50), Settings(max_per_image=2))
    assert result.scores.tolist() == pytest.approx([0.9, 0.5, 0.5])
    assert result.labels[0] == 0 and sorted(result.labels[1:].tolist()) == [0, 1]
    assert [20., 20., 49., 39.] in result.bboxes.tolist()  # clipped to the last pixel


def test_suppression_of_nothing():
    empty = Candidates(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    assert len(suppress(empty, (10, 10), Settings())) == 0


def test_drop_block_changes_only_lower_outputs_in_training():
    torch.manual_seed(0)
    neck = DropBlockFPN(in_channels=[4, 6, 8], out_channels=4, num_outs=5, drop_prob=0.5)
    maps = [torch.randn(1, c, s, s) for c, s in ((4, 24), (6, 12), (8, 6))]
    whole = neck.eval()(maps)
    dropped = neck.train()(maps)
    same = [torch.equal(a, b) for a, b in zip(whole, dropped)]
    assert same == [False, False, True, True, True]
    assert [o.shape[-1] for o in whole] == [24, 12, 6, 3, 2]
