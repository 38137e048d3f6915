"""Tiles of an image, and boxes that several of them saw, each thing once."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glipkit.apis.detections import Detections
from glipkit.apis.predictor import Predictor
from glipkit.apis.tile_windows import Tiles
from glipkit.apis.tiles import detect_in_tiles, merge
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import picture


def things(*rows, size=(100, 200), classes=('dog', 'cat')) -> Detections:
    """Rows of x1, y1, x2, y2, score, label."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), classes, size)


def test_windows_by_hand():
    assert Tiles(100, .2).windows(100, 260).tolist() == [
        [0, 0, 260, 100], [0, 0, 100, 100], [80, 0, 180, 100], [160, 0, 260, 100]]
    assert Tiles(100, .2).windows(100, 100).tolist() == [[0, 0, 100, 100]]
    assert Tiles(100, .2).windows(30, 101).tolist() == [
        [0, 0, 101, 30], [0, 0, 100, 30], [1, 0, 101, 30]]


@given(st.integers(1, 700), st.integers(1, 700), st.integers(32, 300), st.floats(.01, .9))
def test_tiles_cover_an_image_are_of_one_size_and_see_small_things_whole(height, width, side,
                                                                         overlap):
    tiles = Tiles(side, overlap)
    whole, *rest = tiles.windows(height, width).tolist()
    assert whole == [0, 0, width, height]
    if not rest:
        assert max(height, width) <= side
        return
    assert {(x2 - x1, y2 - y1) for x1, y1, x2, y2 in rest} == {(min(side, width),
                                                               min(side, height))}
    for begin, end, length in ((0, 2, width), (1, 3, height)):
        spans = sorted({(one[begin], one[end]) for one in rest})
        assert spans[0][0] == 0 and spans[-1][1] == length
        assert all(after[0] <= before[1] - min(tiles.shared, length)
                   for before, after in zip(spans, spans[1:]))


@pytest.mark.parametrize(('side', 'overlap'), [(31, .2), (800.5, .2), ('800', .2), (800, 0),
                                               (800, .95), (800, 'x')])
def test_numbers_outside_their_range(side, overlap):
    with pytest.raises(UserError):
        Tiles(side, overlap)


WINDOWS = np.array([[0, 0, 200, 100], [0, 0, 120, 100], [80, 0, 200, 100]])
NOTHING = things()


def merged(*found: Detections) -> list[list[float]]:
    one = merge(found, WINDOWS)
    return [[*box.tolist(), round(float(score), 2), int(label)]
            for box, score, label in zip(one.boxes, one.scores, one.labels)]


def test_what_two_tiles_see_whole_is_one_thing():
    # 90..110 in the image: 90..110 of the left tile, 10..30 of the right one, a pixel off.
    left, right = things((90, 20, 110, 40, .6, 0)), things((11, 20, 31, 40, .9, 0))
    assert merged(NOTHING, left, right) == [[91, 20, 111, 40, pytest.approx(.9), 0]]


def test_a_part_finds_its_whole_and_does_not_change_its_box():
    # The thing is 95..135: the left tile ends at 120 and is surer of its part.
    left, right = things((95, 20, 120, 40, .9, 0)), things((15, 20, 55, 40, .6, 0))
    assert merged(NOTHING, left, right) == [[95, 20, 135, 40, pytest.approx(.9), 0]]


def test_halves_of_what_no_tile_sees_whole_find_each_other():
    # 60..150: the left tile sees 60..120, the right one 80..150 of it.
    left, right = things((60, 20, 120, 40, .8, 0)), things((0, 20, 70, 40, .7, 0))
    assert merged(NOTHING, left, right) == [[60, 20, 150, 40, pytest.approx(.8), 0]]
    # And the whole image knows the thing.
    whole = things((59, 19, 151, 41, .5, 0))
    assert merged(whole, left, right) == [[59, 19, 151, 41, pytest.approx(.8), 0]]


def test_neighbours_and_things_inside_others_and_other_classes_stay():
    # Two things, one above the other, at the seam: both halves of both are there.
    left = things((60, 20, 120, 40, .8, 0), (60, 45, 120, 65, .7, 0))
    right = things((0, 20, 70, 40, .75, 0), (0, 45, 70, 65, .65, 0))
    assert [row[:4] for row in merged(NOTHING, left, right)] == [[60, 20, 150, 40],
                                                                 [60, 45, 150, 65]]
    # A small dog in front of a large one, both seen whole by one tile.
    left, right = things((85, 10, 118, 90, .9, 0), (95, 40, 105, 55, .8, 0)), NOTHING
    assert len(merged(NOTHING, left, right)) == 2
    # Each seen by another tile: they do not agree where both look.
    left, right = things((82, 10, 117, 90, .9, 0)), things((15, 40, 25, 55, .8, 0))
    assert len(merged(NOTHING, left, right)) == 2
    left, right = things((90, 20, 110, 40, .6, 0)), things((10, 20, 30, 40, .9, 1))
    assert len(merged(NOTHING, left, right)) == 2


def test_a_thing_through_many_tiles():
    windows = np.array([[0, 0, 500, 100], *([left, 0, left + 140, 100]
                                            for left in (0, 120, 240, 360))])
    parts = [things((30, 20, 140, 40, .5, 0)), things((0, 20, 140, 40, .7, 0)),
             things((0, 20, 140, 40, .6, 0)), things((0, 20, 100, 40, .4, 0))]
    one = merge([NOTHING, *parts], windows)
    assert one.boxes.tolist() == [[30, 20, 460, 40]]
    assert one.scores.tolist() == [pytest.approx(.7)]


def test_a_poor_box_of_the_whole_does_not_swallow_good_parts():
    left, right = things((60, 20, 120, 40, .8, 0)), things((0, 20, 70, 40, .7, 0))
    poor = things((30, 0, 190, 90, .05, 0))
    assert merged(poor, left, right)[0][:4] == [60, 20, 150, 40]


def test_pieces_of_what_is_larger_than_a_tile_are_no_things():
    giant = things((5, 5, 195, 95, .9, 0))
    # A piece, a surer dog in front of it, and a cat.
    left = things((20, 20, 50, 50, .6, 0), (60, 20, 80, 40, .95, 0), (20, 60, 50, 90, .5, 1))
    assert merged(giant, left, NOTHING) == [
        [60, 20, 80, 40, pytest.approx(.95), 0], [5, 5, 195, 95, pytest.approx(.9), 0],
        [20, 60, 50, 90, pytest.approx(.5), 1]]
    # What a tile sees whole is no such thing.
    small = things((5, 5, 105, 95, .9, 0))
    assert len(merged(small, left, NOTHING)) == 4


def test_nothing_anywhere():
    assert merged(NOTHING, NOTHING, NOTHING) == []


def test_the_whole_image_answers_only_for_what_is_large():
    truth = np.array([[10, 10, 22, 22], [90, 30, 104, 44], [150, 20, 260, 90]], np.float32)
    image = np.zeros((100, 300, 3), np.uint8)
    for i, (x1, y1, x2, y2) in enumerate(truth.astype(int)):
        image[y1:y2, x1:x2] = i + 1

    def detect(images):
        """Boxes of what is there; the whole image sees small things ten pixels off."""
        found = []
        for one in images:
            rows = []
            for i in range(3):
                ys, xs = np.nonzero(one[..., 0] == i + 1)
                if len(xs):
                    off = 10 if one.shape == image.shape and i < 2 else 0
                    rows.append((xs.min() + off, ys.min(), xs.max() + 1 + off, ys.max() + 1,
                                 .9 if off else .8, 0))
            found.append(things(*rows, size=one.shape[:2]))
        return found

    found = detect_in_tiles(image, Tiles(80, .25), detect)
    assert sorted(found.boxes.tolist()) == truth.tolist()
    assert found.size == (100, 300)


def test_a_predictor_sees_tiles(predictor: Predictor):
    image = np.tile(picture(), (2, 2, 1))  # 120 x 180
    one, = predictor(image, ['red dog'], per_object='all', score_threshold=.3)
    other, = predictor(image, ['red dog'], tile=70, per_object='all', score_threshold=.3)
    assert one.size == other.size == (120, 180)
    assert (other.boxes <= [180, 120, 180, 120]).all() and (np.diff(other.scores) <= 0).all()
    assert other.image.shape == image.shape
    same, = predictor(image, ['red dog'], tile=400, per_object='all', score_threshold=.3)
    assert np.array_equal(same.boxes, one.boxes)
    with pytest.raises(UserError, match='overlap'):
        predictor(image, ['red dog'], tile=70, overlap=2)


def test_tiles_of_a_batch_are_those_of_one_by_one(predictor: Predictor, folder):
    asked = dict(classes=['red dog'], tile=40, per_object='one')
    wanted = predictor(folder, **asked)
    together = Predictor(predictor.model, batch_size=3, score_threshold=0.)(folder, **asked)
    for one, other in zip(wanted, together):
        assert one.path == other.path
        np.testing.assert_allclose(other.boxes, one.boxes, atol=1e-3)


def test_a_bad_image_among_good_ones(predictor: Predictor, folder):
    (folder / 'a.png').write_bytes(b'no image')
    bad = []
    found = list(predictor.stream(folder, ['dog'], tile=40, skip=lambda source, _: bad.append(
        source.path.name)))
    assert len(found) == 3 and bad == ['a.png']
