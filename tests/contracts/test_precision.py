"""Weights and defaults of other types than float32: they work, or are refused by name."""
from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import glipkit
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector

IMAGE = np.full((64, 64, 3), 40, np.uint8)
IMAGE[10:40, 10:40] = (30, 30, 220)


@pytest.fixture(scope='module')
def model() -> GroundingDetector:
    return glipkit.load('glip-mini')


def ask(model: nn.Module):
    # What it is sure of in this picture depends on the weights: anything will do.
    model.test_settings = replace(model.test_settings, score_threshold=0.)
    return glipkit.Predictor(model, score_threshold=0.)(
        IMAGE, classes=['red square', 'blue circle'])[0]


@pytest.mark.parametrize('cast', [
    lambda m: m.half(), lambda m: m.bfloat16(), lambda m: m.to(torch.bfloat16),
    lambda m: m.type(torch.float16),
])
def test_half_precision_of_the_weights_is_refused_by_name(model, cast):
    with pytest.raises(UserError, match=r'weights in b?float16 .*torch\.autocast'):
        ask(cast(copy.deepcopy(model)))


@pytest.mark.parametrize('part', ['text_encoder', 'neck', 'bbox_head', 'backbone'])
def test_one_part_alone_is_refused_by_name(model, part):
    changed = copy.deepcopy(model)
    getattr(changed, part).half()
    with pytest.raises(UserError, match=rf'weights in float16 \({part}\..*torch\.autocast'):
        ask(changed)


def test_double_precision_works(model):
    expected, found = ask(model), ask(copy.deepcopy(model).double())
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)


def test_half_precision_of_the_computation_works(model):
    expected = ask(model)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = ask(model)
    np.testing.assert_allclose(found.boxes[0], expected.boxes[0], atol=2)


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16, torch.float16])
def test_the_default_of_the_program_makes_no_difference(model, dtype):
    expected = ask(model)
    torch.set_default_dtype(dtype)
    try:
        built = glipkit.load('glip-mini')
        assert torch.get_default_dtype() == dtype
        found = [ask(built), ask(model)]
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in built.parameters()} == {torch.float32}
    for one in found:
        np.testing.assert_allclose(one.scores, expected.scores, atol=1e-6)
        np.testing.assert_allclose(one.boxes, expected.boxes, atol=1e-4)


def test_a_failed_build_gives_the_default_back():
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(UserError):
            glipkit.apis.build.build_model(
                glipkit.apis.build.Config(dict(model=dict(type='glipkit.Nothing'))))
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
