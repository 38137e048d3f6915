"""Detections in the formats of other programs, worked out by hand."""
from __future__ import annotations

import builtins
import json
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glipkit.apis.detections import Detections
from glipkit.apis.drawing import place_labels, shortened
from glipkit.errors import UserError


@pytest.fixture
def found(tmp_path) -> Detections:
    Image.new('RGB', (200, 100), (10, 20, 30)).save(tmp_path / 'a.png')
    return Detections(
        boxes=np.array([[20, 10, 60, 50], [0, 0, 200, 100]], np.float32),
        scores=np.array([0.9, 0.25], np.float32), labels=np.array([2, 0]),
        classes=('Hund', 'cat', 'traffic light'), size=(100, 200), path=tmp_path / 'a.png',
        image=tmp_path / 'a.png')


def nothing() -> Detections:
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32),
                      np.zeros(0, np.int64), ('dog', ), (100, 200))


def test_rows_and_names(found):
    assert found.names == ['traffic light', 'Hund']
    assert len(found) == 2
    first, second = found
    assert first.box.tolist() == [20, 10, 60, 50]
    assert (first.label, first.name, first.score) == (2, 'traffic light', np.float32(0.9))
    assert found[1].name == second.name == found[-1].name
    with pytest.raises(IndexError):
        found[2]


@pytest.mark.parametrize('index', [
    slice(1, None), [False, True], [1], np.array([1]), np.array([False, True])])
def test_selecting_rows(found, index):
    chosen = found[index]
    assert chosen.names == ['Hund']
    assert chosen.boxes.shape == (1, 4)
    assert chosen.path == found.path


def test_selecting_none(found):
    assert len(found[found.scores > 1]) == len(found[[]]) == 0


def test_pandas(found, monkeypatch):
    pandas = pytest.importorskip('pandas')
    table = found.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == ['image', 'x1_px', 'y1_px', 'x2_px', 'y2_px', 'score', 'label',
                                   'name']
    assert list(nothing().to_pandas().columns) == list(table.columns)
    assert list(nothing().to_pandas().dtypes) == list(table.dtypes)
    assert table.to_dict('records') == found.to_rows()


def test_rows_are_what_a_table_holds(found):
    assert found.to_rows()[0] == {
        'image': str(found.path), 'x1_px': 20.0, 'y1_px': 10.0, 'x2_px': 60.0, 'y2_px': 50.0,
        'score': pytest.approx(0.9), 'label': 2, 'name': 'traffic light'}


def test_without_pandas_the_error_says_what_to_install(found, monkeypatch):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == 'pandas':
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', fail)
    with pytest.raises(UserError, match='pip install pandas'):
        found.to_pandas()


def test_supervision(found):
    other = found.to_supervision()
    assert other.xyxy.tolist() == found.boxes.tolist()
    assert other.class_id.tolist() == [2, 0]
    assert other.confidence.tolist() == found.scores.tolist()
    assert list(other.data['class_name']) == ['traffic light', 'Hund']
    assert len(nothing().to_supervision()) == 0


def test_coco(found):
    results = found.to_coco(image_id=7, category_ids=[10, 20, 30])
    assert [result['bbox'] for result in results] == [[20, 10, 40, 40], [0, 0, 200, 100]]
    assert [result['category_id'] for result in results] == [30, 10]
    assert {result['image_id'] for result in results} == {7}
    assert json.loads(json.dumps(results)) == results
    assert [result['category_id'] for result in found.to_coco()] == [2, 0]
    with pytest.raises(UserError, match='3 category ids'):
        found.to_coco(category_ids=[1])


def test_yolo(found):
    assert found.to_yolo() == ('2 0.200000 0.300000 0.200000 0.400000\n'
                               '0 0.500000 0.500000 1.000000 1.000000\n')
    assert found.to_yolo(scores=True).splitlines()[1].endswith(' 0.250000')
    assert nothing().to_yolo() == ''


def test_labelme(found):
    content = json.loads(json.dumps(found.to_labelme()))
    assert content['imagePath'] == 'a.png'
    assert (content['imageHeight'], content['imageWidth']) == (100, 200)
    assert content['shapes'][0]['points'] == [[20, 10], [60, 50]]
    assert content['shapes'][0]['label'] == 'traffic light'


def test_plot_draws_the_box_and_leaves_the_image_alone(found):
    picture = np.asarray(found[:1].plot())
    assert picture.shape == (100, 200, 3)
    assert (picture[30, 20] != (10, 20, 30)).any()  # the left edge
    assert (picture[90, 190] == (10, 20, 30)).all()  # far from it
    array = np.full((100, 200, 3), 7, np.uint8)
    assert (np.asarray(found.plot(array))[30, 20] != 7).any()
    assert (array == 7).all()


def test_plot_of_nothing_and_without_an_image(found):
    image = Image.new('L', (200, 100), 9)
    assert (np.asarray(nothing().plot(image)) == 9).all()
    with pytest.raises(UserError, match='pass it'):
        nothing().plot()


def test_names_beyond_ascii_are_drawn_as_such(found):
    plain = np.asarray(replace(found, classes=('a', 'b', '?????')).plot())
    accents = np.asarray(replace(found, classes=('a', 'b', 'éèüñø')).plot())
    assert (plain != accents).any()


def one(box, name='traffic light', size=(100, 200)):
    return Detections(np.array([box], np.float32), np.array([0.9], np.float32), np.array([0]),
                      (name, ), size)


def written(found):
    """Number of light pixels, which are those of the writing."""
    grey = np.full((*found.size, 3), 90, np.uint8)
    return int((np.asarray(found.plot(grey)) > 190).all(-1).sum())


@pytest.mark.parametrize('box', [(0, 0, 50, 50), (150, 0, 200, 50), (190, 90, 200, 100),
                                 (0, 90, 10, 100), (60, 3, 99, 50), (199, 0, 200, 1)])
def test_labels_stay_in_the_picture(box):
    assert written(one(box)) == written(one((40, 50, 90, 90))) > 20


def test_a_label_that_is_wider_than_the_picture_keeps_its_score():
    long = one((10, 40, 50, 90), 'a very long name of a thing that nobody would write ' * 3)
    assert 20 < written(long)
    assert shortened('abcdef', ' 0.9', 7, len) == 'ab… 0.9'
    assert shortened('abc', ' 0.9', 7, len) == 'abc 0.9'
    assert shortened('abc', ' 0.9', 1, len) == 'a… 0.9'


def test_labels_of_tiny_pictures():
    assert one((0, 0, 4, 3), size=(3, 4)).plot(np.zeros((3, 4, 3), np.uint8)).size == (4, 3)


def overlapping(corners, sides):
    """Pairs of labels of which one covers a part of the other."""
    rows = np.hstack([corners, corners + sides])
    return [(i, j) for j, b in enumerate(rows) for i, a in enumerate(rows[:j])
            if (np.minimum(a[2:], b[2:]) > np.maximum(a[:2], b[:2])).all()]


def test_places_of_labels_by_hand():
    box, sides = (20, 30, 60, 70), np.full((9, 2), (30, 10))
    corners = place_labels(np.array([box] * 9), sides, (200, 100))
    assert corners[:8].tolist() == [
        [20, 20], [20, 30], [20, 70], [20, 60],  # above, inside, below, inside, all on the left
        [20, 10], [20, 0], [20, 40], [50, 20]]  # the nearest to the first
    assert not overlapping(corners, sides)
    # In a corner of the picture.
    assert place_labels(np.array([[190, 0, 200, 5]]), sides[:1], (200, 100)).tolist() == [[170, 0]]
    # No room at all: the second covers the first.
    assert place_labels(np.array([box] * 2), sides[:2], (30, 10)).tolist() == [[0, 0], [0, 0]]


WIDTH, HEIGHT = 160, 120
EDGES = st.floats(-20, 200, width=32)


@st.composite
def labelled(draw, most, tallest):
    count = draw(st.integers(1, most))
    boxes = np.array(draw(st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), min_size=count,
                                   max_size=count)))
    boxes = np.hstack([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2],
                                                                          boxes[:, 2:])])
    sides = draw(st.lists(st.tuples(st.integers(1, WIDTH), st.integers(1, tallest)),
                          min_size=count, max_size=count))
    return boxes, np.array(sides)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(labelled(12, HEIGHT))
def test_every_label_stands_in_the_picture(things):
    boxes, sides = things
    corners = place_labels(boxes, sides, (WIDTH, HEIGHT))
    assert (corners >= 0).all() and (corners + sides <= (WIDTH, HEIGHT)).all()
    assert np.array_equal(place_labels(boxes, sides, (WIDTH, HEIGHT)), corners)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(labelled(6, HEIGHT // 12))  # five cannot block every row for the sixth
def test_few_labels_cover_none_of_each_other(things):
    boxes, sides = things
    assert not overlapping(place_labels(boxes, sides, (WIDTH, HEIGHT)), sides)


def test_the_best_is_drawn_on_top(found):
    boxes = np.array([[20, 30, 60, 70]] * 2, np.float32)
    two = replace(found, boxes=boxes)
    best = two[:1]
    grey = np.full((100, 200, 3), 90, np.uint8)
    edge = np.asarray(best.plot(grey))[50, 20]
    assert (np.asarray(two.plot(grey))[50, 20] == edge).all()
    assert (np.asarray(two[::-1].plot(grey))[50, 20] == edge).all()


def test_fiftyone_has_boxes_in_parts_of_the_image(found, monkeypatch):
    """A stand-in with the library's own signatures, since it brings a database along."""
    library = ModuleType('fiftyone')

    class Detection:
        def __init__(self, label=None, bounding_box=None, mask=None, confidence=None, index=None,
                     **fields):
            assert not fields
            self.label, self.bounding_box, self.confidence = label, bounding_box, confidence

    class FiftyOneDetections:
        def __init__(self, detections=None, **fields):
            assert not fields
            self.detections = detections

    library.Detection, library.Detections = Detection, FiftyOneDetections
    monkeypatch.setitem(sys.modules, 'fiftyone', library)
    first, second = replace(found, boxes=found.boxes + [[0, 0, 0, 0], [0, 0, 50, 0]]
                            ).to_fiftyone().detections
    assert (first.label, first.confidence) == ('traffic light', pytest.approx(.9))
    assert first.bounding_box == pytest.approx([.1, .1, .2, .4])
    assert second.bounding_box == [0, 0, 1, 1]
    assert nothing().to_fiftyone().detections == []
    monkeypatch.setitem(sys.modules, 'fiftyone', None)
    with pytest.raises(UserError, match='pip install fiftyone'):
        found.to_fiftyone()
