"""GLIP's two doors: exclusive boxes in, exclusive boxes out, inclusive pixels between."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from glipkit.models.detectors.glip_boxes import exclusive_boxes, inclusive_boxes


def sample(boxes=(), scale_factor=None) -> DetDataSample:
    one = DetDataSample(metainfo={} if scale_factor is None else dict(scale_factor=scale_factor))
    one.gt_instances = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    return one


@pytest.mark.parametrize('scale_factor, expected', [
    (None, [10, 20, 29, 59]),
    ((1., 1.), [10, 20, 29, 59]),
    ((2., .5), [10, 20, 28, 59.5]),  # one original pixel is 2 wide and half a pixel high here
    ((2.5, 30.), [10, 20, 27.5, 30]),
])
def test_in(scale_factor, expected):
    assert inclusive_boxes(sample([[10, 20, 30, 60]], scale_factor)).tolist() == [expected]


@pytest.mark.parametrize('box, scale_factor, expected', [
    ([7, 8, 7.5, 30], None, [7, 8, 7, 29]),
    ([7, 8, 7.5, 8.25], None, [7, 8, 7, 8]),
    ([7, 8, 8, 9], None, [7, 8, 7, 8]),
    ([7, 8, 9.5, 30], (3., 3.), [7, 8, 7, 27]),  # 2.5 wide, which is less than an original pixel
])
def test_a_box_of_less_than_a_pixel_keeps_its_corner(box, scale_factor, expected):
    assert inclusive_boxes(sample([box], scale_factor)).tolist() == [expected]


@pytest.mark.parametrize('scale_factor, rescale, expected', [
    (None, True, [10, 20, 30, 60]),
    (None, False, [10, 20, 30, 60]),
    ((2., .5), True, [5, 40, 15.5, 119]),  # 29 / 2 + 1 and 59 / 0.5 + 1
    ((2., .5), False, [10, 20, 31, 59.5]),
])
def test_out(scale_factor, rescale, expected):
    found = torch.tensor([[10., 20., 29., 59.]])
    assert exclusive_boxes(found, sample(scale_factor=scale_factor), rescale).tolist() == [expected]
    assert found.tolist() == [[10, 20, 29, 59]]


@pytest.mark.parametrize('scale_factor', [None, (2., .5)])
def test_no_boxes(scale_factor):
    empty = sample((), scale_factor)
    inside = inclusive_boxes(empty)
    assert inside.shape == (0, 4) and inside.dtype == torch.float32
    assert exclusive_boxes(inside, empty, rescale=True).shape == (0, 4)


def test_mmdets_box_class_and_the_sample_stays_as_it_is():
    one = sample()
    one.gt_instances = InstanceData(bboxes=HorizontalBoxes([[1., 2., 3., 4.]]))
    assert inclusive_boxes(one).tolist() == [[1, 2, 2, 3]]
    assert one.gt_instances.bboxes.tensor.tolist() == [[1, 2, 3, 4]]


corners = st.floats(0, 1000, width=32)
sides = st.floats(1, 1000, width=32)
factors = st.floats(.125, 8, width=32)


@settings(deadline=None)
@given(st.lists(st.tuples(corners, corners, sides, sides), max_size=4), factors, factors)
def test_in_and_out_again_gives_the_box_back(places, wide, high):
    """Boxes of at least one pixel of the original image, in its frame or in the input's."""
    original = torch.tensor([(x, y, x + w, y + h) for x, y, w, h in places]).reshape(-1, 4)
    scale = torch.tensor([wide, high]).repeat(2)
    one = sample((original * scale).tolist(), (wide, high))
    inside = inclusive_boxes(one)
    assert (inside[:, 2:] >= inside[:, :2]).all()
    torch.testing.assert_close(exclusive_boxes(inside, one, rescale=False), original * scale,
                               atol=2e-3, rtol=1e-5)
    torch.testing.assert_close(exclusive_boxes(inside, one, rescale=True), original,
                               atol=2e-3, rtol=1e-5)
