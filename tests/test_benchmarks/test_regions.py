"""The benchmark of given boxes: equal scores, and a table."""
from __future__ import annotations

import argparse
import json

import pytest
import torch

from glipkit.benchmarks import regions
from glipkit.testing import tiny_clip_rcnn

CLASSES = ('a person', 'dog', 'traffic light')


@pytest.fixture
def work(tmp_path):
    return dict(config=str(tiny_clip_rcnn.write_config(tmp_path)), image=(64, 96), boxes=5,
                classes=CLASSES, templates='name', threads=1, device='cpu', seed=0)


def test_both_ways_give_the_same_scores(work):
    one = regions.Regions(**{**work, 'templates': ('a {}.', 'the {} here')})
    with torch.no_grad():
        torch.testing.assert_close(one.ours(), one.plain(), atol=1e-5, rtol=0)
    assert one.plain().shape == (5, 3)


def test_boxes_lie_in_the_image():
    boxes = regions.random_boxes(200, 100, 150)
    assert (boxes >= 0).all() and (boxes[:, 2] <= 150).all() and (boxes[:, 3] <= 100).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 31.9).all()


@pytest.mark.slow
def test_the_table(work):
    parser = argparse.ArgumentParser()
    regions.add_arguments(parser)
    args = parser.parse_args(['--config', work['config'], '--image', '64x96', '--boxes', '5',
                              '--prompt', 'three', '--threads', '1', '--rounds', '2'])
    result = json.loads(json.dumps(regions.run(args)))
    assert [row['candidate'] for row in result['rows']] == [
        regions.OURS, regions.PLAIN, regions.IMAGE_ONLY]
    assert all(row['CPU s'] > 0 and row['peak GiB'] > 0 for row in result['rows'])
    assert float(result['setting']['largest difference of scores']) < 1e-4
    assert result['setting']['words once, s'] >= 0
