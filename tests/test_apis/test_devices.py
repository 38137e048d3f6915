"""Devices, precision, and batches that are too large, as far as a processor can show them."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from glipkit.apis import build
from glipkit.apis.batches import run_by_size
from glipkit.apis.build import check_device
from glipkit.apis.predictor import Predictor
from glipkit.common import precision
from glipkit.common.precision import check_dtype, computing_in
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import picture


@pytest.mark.parametrize(('cuda', 'mps', 'wanted'), [
    (True, True, 'cuda'), (False, True, 'mps'), (False, False, 'cpu')])
def test_auto_takes_the_fastest(monkeypatch, cuda, mps, wanted):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: mps)
    assert build.fastest_device() == wanted


def test_auto_is_a_device_of_this_machine():
    assert check_device('auto').type == build.fastest_device()


def test_half_on_a_processor_and_unknown_types_are_one_line(predictor):
    with pytest.raises(UserError, match='a GPU for dtype half'):
        Predictor(predictor.model, dtype='half')
    with pytest.raises(UserError, match="'float8'"):
        Predictor(predictor.model, dtype='float8')
    assert check_dtype('half', 'cuda') == 'half'


def test_bf16_computes_in_bf16_and_says_where_that_is_slow(predictor, monkeypatch):
    monkeypatch.setattr(precision, '_slowdown', lambda: 3.)
    with pytest.warns(UserWarning, match='3.0 times as long'):
        half = Predictor(predictor.model, dtype='bf16', score_threshold=0.)
    monkeypatch.setattr(precision, '_slowdown', lambda: .5)
    quick = Predictor(predictor.model, dtype='bf16', score_threshold=0.)
    one, = predictor(picture(), ['red dog'])
    for other in (half, quick):
        found, = other(picture(), ['red dog'])
        assert found.scores.dtype == np.float32 and found.boxes.dtype == np.float32
        assert not np.array_equal(found.scores, one.scores)
        assert found.scores.max() == pytest.approx(one.scores.max(), abs=.03)
    again, = predictor(picture(), ['red dog'])  # text of another type is not remembered for it
    assert np.array_equal(again.scores, one.scores)


def test_the_type_holds_in_the_block_alone():
    with computing_in('bf16'):
        assert torch.is_autocast_enabled('cpu')
        assert torch.get_autocast_dtype('cpu') == torch.bfloat16
    with computing_in('float32'):
        assert not torch.is_autocast_enabled('cpu')


class SmallGpu:
    """A model with room for a few images."""

    def __init__(self, room: int) -> None:
        self.room, self.batches = room, []

    def test_step(self, batch: dict) -> list:
        self.batches.append(len(batch['inputs']))
        if len(batch['inputs']) > self.room:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return batch['data_samples']


def packed(count: int) -> list[dict]:
    return [{'inputs': torch.zeros(3, 8, 6), 'data_samples': i} for i in range(count)]


def test_a_batch_without_room_goes_in_halves_and_keeps_its_order():
    model = SmallGpu(room=2)
    assert run_by_size(model, packed(7)) == list(range(7))
    assert model.batches == [7, 4, 2, 2, 3, 2, 1]


def test_one_image_without_room_is_one_line():
    with pytest.raises(UserError, match='6 x 8 pixels'):
        run_by_size(SmallGpu(room=0), packed(2))
