"""Sizes, class lists and captions of the benchmarks."""
from __future__ import annotations

import json

import pytest
import torch

from glipkit.benchmarks.workload import (
    CAPTIONS,
    Workload,
    count_tokens,
    grounded_text,
    read_classes,
    read_size,
)
from glipkit.errors import UserError


def test_the_named_lists():
    assert len(read_classes('three', None)) == 3
    assert len(read_classes('coco80', None)) == 80
    assert len(read_classes('lvis1203', None)) == 1203


def test_tokens_of_a_list():
    assert count_tokens(('person', 'dog')) == 5  # [CLS] person . dog [SEP]


def test_names_by_hand_and_from_a_file(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text('red circle\nblue star\n\n')
    assert read_classes('three', 'red circle, blue star') == ('red circle', 'blue star')
    assert read_classes('three', str(path)) == ('red circle', 'blue star')


def test_names_that_cannot_be_used(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_bytes(b'\xff\xfe\xff')
    for names in (str(path), ' , ', 'dog, dog'):
        with pytest.raises(UserError):
            read_classes('three', names)


def test_a_size():
    assert read_size('800x1216') == (800, 1216)


@pytest.mark.parametrize('text', ['800', '800x', '800x1200', '0x32', '-32x32', '32x32x32', 'axb'])
def test_a_wrong_size(text):
    with pytest.raises(UserError, match='--image'):
        read_size(text)


def test_captions_name_what_has_boxes():
    for regions in CAPTIONS:
        text = grounded_text(regions, (100, 200))
        assert len(text.boxes) == len(text.spans) == len(text.labels) == len(regions)
        for (phrase, (x1, y1, x2, y2)), (start, end), box in zip(regions, text.spans, text.boxes):
            assert text.caption[start:end] == phrase
            torch.testing.assert_close(
                box, torch.tensor([x1 * 200, y1 * 100, x2 * 200, y2 * 100]))
            assert 0 <= box[0] < box[2] <= 200 and 0 <= box[1] < box[3] <= 100
    dogs = grounded_text(CAPTIONS[0], (32, 32)).labels
    assert dogs == [0, 1, 1, 2, 3]  # one phrase with two boxes


def test_a_workload_through_json():
    work = Workload('glip-t-c', (32, 64), ('a', 'b'), batch=3, compile=True)
    again = Workload.from_dict(json.loads(json.dumps(work.as_dict())))
    assert again == work
    assert torch.equal(again.images(), work.images())
    assert work.images().shape == (3, 3, 32, 64)
    assert len(work.captions()) == 3
