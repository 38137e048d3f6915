"""Large pictures and moving shapes, and where their things are."""
from __future__ import annotations

import numpy as np

from glipkit.worlds.scenes import draw_large, moving_scene

NAMES = ('large red plain circle', 'small blue striped star')


def test_a_large_picture_has_things_of_the_size_asked_for():
    image, things = draw_large(NAMES, (192, 400), 600, 400, np.random.default_rng(0))
    assert image.shape == (400, 600, 3) and image.dtype == np.uint8
    assert [name for name, _ in things] == list(NAMES)
    sides = [max(box[2] - box[0], box[3] - box[1]) for _, box in things]
    assert 50 < sides[0] < 80 and 48 < sides[1] < 73  # 24 to 34 pixels of 192
    x1, y1, x2, y2 = (round(value) for value in things[0][1])
    inside = image[y1 + 15:y2 - 15, x1 + 15:x2 - 15].reshape(-1, 3).mean(0)
    assert inside[0] > 150 > 100 > inside[2]


def test_shapes_move_on_their_ways_and_turn_back_at_the_edges():
    scene = moving_scene(NAMES, 200, 160, np.random.default_rng(1), speed=4.)
    frames = list(scene.frames(120))
    boxes = np.array([boxes for _, boxes in frames])
    assert boxes.shape == (120, 2, 4) and frames[0][0].shape == (160, 200, 3)
    assert (boxes[..., :2] >= 0).all() and (boxes[..., 2:] <= [200, 160]).all()
    steps = np.diff(boxes[..., 0], axis=0)
    assert 1 < np.abs(steps).max() <= 5 and (steps > 0).any(0).all() and (steps < 0).any(0).all()
    assert (np.diff(boxes[..., 1], axis=0) == 0).all()
    # Nothing hides anything.
    assert (boxes[:, 0, 3] < boxes[:, 1, 1]).all()
    again = list(scene.frames(3))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(again, frames))
