"""What several rooms share: overlaps, digests, markdown, image names."""
from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glipkit.common.boxes import box_iou, one_per_object, paired_iou_xywh, to_xywh, to_xyxy
from glipkit.common.digests import file_sha256, files_sha256
from glipkit.common.image_files import is_image_file
from glipkit.common.markdown import markdown_table

SIDES = st.floats(0, 100, allow_nan=False)
BOXES = st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), max_size=5)


def test_overlaps_by_hand():
    a, b = np.array([[0, 0, 2, 2], [5, 5, 5, 9]]), np.array([[1, 0, 3, 2], [0, 0, 2, 2]])
    np.testing.assert_allclose(box_iou(a, b), [[1 / 3, 1], [0, 0]])
    assert box_iou(a[1:], a[1:]).item() == 0  # no area, no overlap, no warning
    assert box_iou(np.zeros((0, 4)), b).shape == (0, 2)
    assert paired_iou_xywh(to_xywh(a[:1]), to_xywh(b[:1])).item() == pytest.approx(1 / 3)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(BOXES, BOXES)
def test_overlaps_are_symmetric_shares(a, b):
    a, b = (to_xyxy(np.array(boxes, dtype=float).reshape(-1, 4)) for boxes in (a, b))
    found = box_iou(a, b)
    assert found.shape == (len(a), len(b))
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    np.testing.assert_allclose(found, box_iou(b, a).T)
    np.testing.assert_allclose(to_xyxy(to_xywh(a)), a, atol=1e-9)


def test_the_best_box_of_an_object_by_hand():
    # Of height 10: the first two overlap by 2 / 3, the second and the third by a half, which is
    # not more than a half; the last is elsewhere.
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [2, 0, 7, 10], [50, 50, 60, 60.]])
    scores = np.array([.4, .6, .5, .1])
    assert one_per_object(boxes, scores).tolist() == [1, 2, 3]
    assert one_per_object(boxes, np.array([.9, .6, .5, .1])).tolist() == [0, 2, 3]
    assert one_per_object(boxes, scores, .4).tolist() == [1, 3]
    assert one_per_object(boxes, np.full(4, .5)).tolist() == [0, 2, 3]  # equal: the first stays
    assert one_per_object(np.zeros((0, 4), np.float32), np.zeros(0)).tolist() == []


@settings(max_examples=50, deadline=None, derandomize=True)
@given(BOXES)
def test_no_two_boxes_of_one_object_stay(boxes):
    boxes = to_xyxy(np.array(boxes, dtype=float).reshape(-1, 4)).astype(np.float32)
    kept = one_per_object(boxes, np.linspace(0, 1, len(boxes)))
    assert bool(len(kept)) == bool(len(boxes))
    assert not (np.triu(box_iou(boxes[kept], boxes[kept]), 1) > .5 + 1e-4).any()


def test_digests(tmp_path):
    (tmp_path / 'a').write_bytes(b'one')
    (tmp_path / 'b').write_bytes(b'two')
    assert file_sha256(tmp_path / 'a') == hashlib.sha256(b'one').hexdigest()
    assert files_sha256([tmp_path / 'a', tmp_path / 'b']) == hashlib.sha256(b'onetwo').hexdigest()


def test_a_cell_does_not_end_the_table():
    lines = markdown_table(['name', 'AP'], [['a|b\nc', 0.5]], right=[1]).split('\n')
    assert lines == ['| name | AP |', '|---|---:|', '| a\\|b c | 0.5 |']


def test_image_names(tmp_path):
    assert is_image_file(tmp_path / 'a.JPG') and not is_image_file(tmp_path / 'a.txt')
