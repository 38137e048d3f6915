"""Scores, losses and suppression of regions, against numbers worked by hand."""
from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import box_iou

from glipkit.errors import UserError
from glipkit.models.alignment.cosine import cosine_logits
from glipkit.models.alignment.score_fusion import fuse_scores
from glipkit.models.losses.region_classes import FocalScaledClassLoss, WeightedClassLoss
from glipkit.models.proposals.grid import GridBoxes
from glipkit.models.roi_heads.postprocess import RegionSettings, detections, to_original
from glipkit.models.roi_heads.soft_nms import batched_soft_nms


def test_cosines_over_the_temperature_and_a_background_of_zero():
    """A4."""
    logits = cosine_logits(torch.tensor([[3., 4.], [0., 2.]]), torch.tensor([[2., 0.], [0., 5.]]))
    torch.testing.assert_close(logits, torch.tensor([[60., 80., 0.], [0., 100., 0.]]))
    assert torch.equal(logits[:, 2], torch.zeros(2))
    assert logits.softmax(1).shape == (2, 3)
    bare = cosine_logits(torch.ones(1, 2), torch.tensor([[1., 0.]]), 0.5, background=False)
    torch.testing.assert_close(bare, torch.tensor([[2 / math.sqrt(2)]]))


def test_cosines_of_no_region_and_no_class():
    assert cosine_logits(torch.ones(0, 2), torch.ones(3, 2)).shape == (0, 4)
    assert cosine_logits(torch.ones(2, 2), torch.ones(0, 2)).tolist() == [[0.], [0.]]
    assert cosine_logits(torch.zeros(1, 2), torch.ones(1, 2)).isfinite().all()


def test_cosines_keep_their_precision_under_autocast():
    torch.manual_seed(0)
    features, matrix = torch.randn(5, 64), torch.randn(7, 64)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits = cosine_logits(features, matrix)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, cosine_logits(features, matrix))


def test_raw_fusion_drops_a_negative_logit_and_may_exceed_one():
    """A5."""
    scores, stays = fuse_scores(torch.tensor([[.25, 1.], [.9, .1], [.5, .5]]),
                                torch.tensor([4., -1., 0.]), 'raw')
    assert stays.tolist() == [True, False, True]
    torch.testing.assert_close(scores[0], torch.tensor([1., 2.]))
    assert scores[1].tolist() == [0, 0] and scores[2].tolist() == [0, 0]


def test_sigmoid_fusion_keeps_every_box_below_one():
    scores, stays = fuse_scores(torch.tensor([[.5], [.5]]), torch.tensor([0., -50.]), 'sigmoid')
    assert stays.all() and (scores <= 1).all()
    torch.testing.assert_close(scores[0, 0], torch.tensor(.5))


def test_no_fusion_and_an_unknown_one():
    probabilities = torch.rand(2, 3)
    scores, stays = fuse_scores(probabilities, torch.tensor([-1., 1.]), 'none')
    assert torch.equal(scores, probabilities) and stays.all()
    with pytest.raises(UserError, match='raw'):
        fuse_scores(probabilities, torch.zeros(2), 'mean')


def logits_of(*p_true: float, label: int = 0) -> torch.Tensor:
    """Logits of two classes and background whose ``label`` has the given probabilities."""
    rows = [[math.log(p) if i == label else math.log((1 - p) / 2) for i in range(3)]
            for p in p_true]
    return torch.tensor(rows)


def test_weighted_loss_is_divided_by_the_sum_of_weights():
    logits = torch.cat([logits_of(.5), logits_of(.25, label=2)])
    loss = WeightedClassLoss(background_weight=.2)(logits, torch.tensor([0, 2]))
    expected = (-math.log(.5) - .2 * math.log(.25)) / 1.2
    assert loss.item() == pytest.approx(expected)
    official = F.cross_entropy(logits, torch.tensor([0, 2]), torch.tensor([1., 1., .2]))
    torch.testing.assert_close(loss, official)


def test_focal_scaling_by_hand():
    """A6: gamma 0.5 and p 0.75 scale by 0.5; gamma 0 is the weighted sum over the number."""
    logits = torch.cat([logits_of(.75), logits_of(.75, label=2)])
    labels = torch.tensor([0, 2])
    scaled = FocalScaledClassLoss(1., .5)(logits[:1], labels[:1])
    assert scaled.item() == pytest.approx(-.5 * math.log(.75))
    plain = FocalScaledClassLoss(.2, 0.)(logits, labels)
    assert plain.item() == pytest.approx(-(math.log(.75) + .2 * math.log(.75)) / 2)


def test_a_sure_region_has_a_finite_gradient():
    logits = torch.tensor([[200., 0., 0.]], requires_grad=True)
    FocalScaledClassLoss()(logits, torch.tensor([0])).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize('loss', [WeightedClassLoss(), FocalScaledClassLoss()])
def test_no_region_costs_nothing(loss):
    value = loss(torch.zeros(0, 3, requires_grad=True), torch.zeros(0, dtype=torch.int64))
    assert value == 0 and value.requires_grad


def slow_soft_nms(boxes, scores, sigma, prune):
    """The definition, for one label."""
    left, found = list(range(len(boxes))), []
    scores = scores.clone()
    while left:
        best = max(left, key=lambda i: scores[i])
        found.append((best, scores[best].item()))
        left.remove(best)
        for i in list(left):
            scores[i] *= torch.exp(-box_iou(boxes[best][None], boxes[i][None])[0, 0]**2 / sigma)
            if scores[i] <= prune:
                left.remove(i)
    return found


def random_boxes(count: int) -> torch.Tensor:
    corner = torch.rand(count, 2) * 60
    return torch.cat([corner, corner + 10 + torch.rand(count, 2) * 40], 1)


def test_soft_nms_is_that_of_each_label():
    torch.manual_seed(0)
    boxes, scores, labels = random_boxes(40), torch.rand(40), torch.randint(0, 3, (40, ))
    keep, decayed = batched_soft_nms(boxes, scores, labels, 0.5, 0.05)
    assert (decayed.diff() <= 0).all()
    for label in range(3):
        members = (labels == label).nonzero()[:, 0]
        expected = slow_soft_nms(boxes[members], scores[members], 0.5, 0.05)
        ours = labels[keep] == label
        assert keep[ours].tolist() == [int(members[i]) for i, _ in expected]
        torch.testing.assert_close(decayed[ours], torch.tensor([s for _, s in expected]),
                                   atol=1e-4, rtol=0)
    few, first = batched_soft_nms(boxes, scores, labels, 0.5, 0.05, limit=5)
    assert torch.equal(few, keep[:5]) and torch.equal(first, decayed[:5])
    none, _ = batched_soft_nms(boxes[:0], scores[:0], labels[:0])
    assert len(none) == 0


def test_detections_of_a_hand_made_image():
    boxes = torch.tensor([[0., 0, 10, 10], [0., 0, 10, 9], [20., 20, 60, 30]])
    probabilities = torch.tensor([[.6, .3], [.5, .4], [.9, .0005]])
    found = detections(boxes, probabilities, None, (25, 50), RegionSettings())
    assert found.labels.tolist() == [0, 0, 1]
    assert found.regions.tolist() == [2, 0, 1]  # the weaker of two like boxes is removed
    torch.testing.assert_close(found.scores, torch.tensor([.9, .6, .4]))
    assert found.bboxes[0].tolist() == [20, 20, 50, 25]  # inside the image
    one = detections(boxes, probabilities, None, (25, 50), RegionSettings(max_per_image=1))
    assert len(one) == 1


def test_the_class_may_be_reported_in_the_order_of_the_fused_scores():
    boxes = torch.tensor([[0., 0, 10, 10], [20., 0, 30, 10]])
    probabilities, logits = torch.tensor([[.9], [.4]]), torch.tensor([1., 9.])
    found = detections(boxes, probabilities, logits, (40, 40),
                       RegionSettings(fusion='raw', report='class'))
    torch.testing.assert_close(found.scores, torch.tensor([.4, .9]))
    fused = detections(boxes, probabilities, logits, (40, 40), RegionSettings(fusion='raw'))
    torch.testing.assert_close(fused.scores, torch.tensor([math.sqrt(3.6), math.sqrt(.9)]))


def test_rows_that_are_not_finite_are_dropped():
    boxes = torch.tensor([[0., 0, 10, 10], [math.nan, 0, 30, 10], [5., 5, 30, 30]])
    probabilities = torch.tensor([[.9], [.4], [math.nan]])
    assert len(detections(boxes, probabilities, None, (40, 40), RegionSettings())) == 1


def test_boxes_without_area_in_the_original_are_dropped():
    found = detections(torch.tensor([[0., 0, 10, 10], [50., 50, 60, 60]]), torch.ones(2, 1), None,
                       (40, 40), RegionSettings())
    kept = to_original(found, (20, 20), (2., 2.))
    assert kept.bboxes.tolist() == [[0, 0, 5, 5]]


def test_the_grid_covers_images_of_any_size():
    for height, width in ((800, 1216), (64, 64), (50, 1000), (3, 2)):
        boxes = GridBoxes().boxes(height, width)
        assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all()
        assert boxes[:, 2].max() <= width + 1e-3 and boxes[:, 3].max() <= height + 1e-3
        assert ((boxes - torch.tensor([0., 0, width, height])).abs() < 1e-2).all(1).any()
        assert len(boxes) == len(torch.unique(boxes, dim=0))
    assert 100 < len(GridBoxes().boxes(800, 1216)) < 400
    few = GridBoxes((1., ), (1., )).boxes(10, 20)
    assert few.tolist() == [[0, 0, 10, 10], [0, 0, 20, 10], [5, 0, 15, 10], [10, 0, 20, 10]]


def test_soft_nms_prunes_what_no_box_has_weakened():
    # Official: after a box is taken, all others at or below the limit go, whatever their label.
    boxes = torch.tensor([[0., 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]])
    taken, scores = batched_soft_nms(boxes, torch.tensor([0.9, 0.0005, 0.5]),
                                     torch.tensor([0, 1, 1]), prune=0.001)
    assert taken.tolist() == [0, 2] and scores.tolist() == pytest.approx([0.9, 0.5])
    taken, scores = batched_soft_nms(boxes, torch.full((3, ), 0.0005), torch.tensor([0, 1, 1]))
    assert taken.tolist() == [0] and scores.tolist() == pytest.approx([0.0005])
