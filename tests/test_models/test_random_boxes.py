"""Boxes of the control experiment."""
import pytest
import torch

from glipkit.errors import UserError
from glipkit.models.proposals.random_boxes import RandomBoxes


def test_corners_lie_on_the_grid_and_every_image_has_the_same_boxes():
    torch.manual_seed(0)
    first, second = (found.bboxes for found in RandomBoxes(200)(torch.zeros(2, 3, 50, 33), [1, 2]))
    assert torch.equal(first, second) and first.shape == (200, 4)
    assert not (first % 8).any()
    assert (first[:, :2] < first[:, 2:]).all()
    assert first.amin(0).tolist() == [0, 0, 8, 8] and first.amax(0).tolist() == [24, 40, 32, 48]


def test_the_seed_decides():
    source, images = RandomBoxes(5), torch.zeros(1, 3, 64, 64)

    def drawn(seed):
        torch.manual_seed(seed)
        return source(images, [None])[0].bboxes

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))


def test_what_cannot_be_drawn():
    with pytest.raises(UserError, match='sides of at least 8 pixels; got 7'):
        RandomBoxes()(torch.zeros(1, 3, 64, 7), [None])
    with pytest.raises(UserError, match='at least one box'):
        RandomBoxes(0)
