"""Small things in a large picture, by the model that comes with glipkit."""
from __future__ import annotations

import numpy as np
import pytest

from glipkit.apis.build import checkpoint_for
from glipkit.apis.predictor import Predictor
from glipkit.apis.tile_windows import Tiles
from glipkit.benchmarks import tiles
from glipkit.errors import UserError


@pytest.mark.slow
def test_tiles_find_what_the_whole_image_does_not_and_double_nothing():
    scene = tiles.draw_scene(900, 600, 160, np.random.default_rng(3))
    assert len(scene.names) > 60
    predictor = Predictor(tiles.MODEL, checkpoint_for(tiles.MODEL), score_threshold=0.,
                          channel_order='rgb', batch_size=4)
    ways = tiles.ways(predictor, Tiles(160))
    without, within = (tiles._row(name, ways[name], [scene], .5, 1)
                       for name in ('whole image', 'glipkit tiles'))
    assert within['AP small'] > without['AP small'] + 30
    assert within['doubled'] == 0
    assert int(within['found'].split()[0]) > .9 * len(scene.names)


def test_boxes_on_a_thing_are_counted():
    scene = tiles.Scene(np.zeros((10, 10, 3)), ('a', 'b'),
                        np.float32([[0, 0, 10, 10], [20, 0, 30, 10]]))
    found = tiles._as_detections([[0, 0, 10, 10], [0, 0, 3, 3], [21, 0, 30, 10], [9, 0, 19, 10]],
                                 [.9] * 4, [0, 0, 0, 1], ('a', 'b'), scene.image)
    assert tiles._times_found(scene, found).tolist() == [2, 0]


def test_a_size():
    assert tiles._size('3000x2000') == (3000, 2000)
    for bad in ('3000', '10x20', 'ax400', '400x400x3'):
        with pytest.raises(UserError):
            tiles._size(bad)
