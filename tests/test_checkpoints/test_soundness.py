"""Weights that no model can have are refused, by the names of their tensors."""
from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from glipkit.checkpoints import (
    Checkpoint,
    load_backbone,
    load_checkpoint,
    save_checkpoint,
    write,
)
from glipkit.checkpoints.soundness import first_not_finite
from glipkit.errors import UserError

from .tiny import TINY, module_of, random_state

KEY = 'bbox_head.tower.1.fusion.v_proj.weight'


@pytest.mark.parametrize('change, named', [
    (lambda t: torch.full_like(t, math.nan), 'NaN in'),
    (lambda t: torch.where(t == t.flatten()[3], math.inf, t), 'infinite values in'),
    (lambda t: t.double() * 1e300, 'infinite values in'),
    (lambda t: t.long(), 'int64 instead of float32 in'),
    (lambda t: t > 0, 'bool instead of float32 in'),
    (lambda t: t.to(torch.complex64), 'complex64 instead of float32 in'),
    (lambda t: t.to_sparse(), 'sparse_coo values in'),
])
def test_a_tensor_that_is_not_sound_is_named_and_nothing_loaded(tmp_path, change, named):
    state = random_state(TINY)
    torch.save({'state_dict': {**state, KEY: change(state[KEY])}}, tmp_path / 'a.pth')
    model = module_of(TINY.shapes())
    with pytest.raises(UserError, match=f'{named} {KEY};'):
        load_checkpoint(model, tmp_path / 'a.pth')
    assert not any(tensor.any() for tensor in model.state_dict().values())


@pytest.mark.parametrize('layout', ['official', 'mmdet'])
def test_other_layouts_are_looked_at_too(tmp_path, layout):
    state = random_state(TINY)
    state[KEY] = state[KEY] * math.nan
    write(Checkpoint(state), tmp_path / 'a.pth', layout)
    with pytest.raises(UserError, match=f'NaN in {KEY}'):
        load_checkpoint(module_of(TINY.shapes()), tmp_path / 'a.pth')


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_that_holds_the_values_is_fine(tmp_path, dtype):
    state = {key: tensor.to(dtype) for key, tensor in random_state(TINY).items()}
    write(Checkpoint(state), tmp_path / 'a.safetensors')
    model = module_of(TINY.shapes())
    load_checkpoint(model, tmp_path / 'a.safetensors')
    assert torch.equal(model.state_dict()[KEY], state[KEY].float())


def test_a_part_alone(tmp_path):
    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Linear(2, 2)

    state = {'conv.weight': torch.ones(2, 2) * math.nan, 'conv.bias': torch.ones(2)}
    torch.save(state, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='NaN in conv.weight'):
        load_backbone(Backbone(), tmp_path / 'a.pth')


def test_a_mask_of_the_model_may_be_infinite_and_its_weights_may_not(tmp_path):
    model = nn.Linear(2, 2)
    model.register_buffer('mask', torch.tensor([0., -math.inf]))
    save_checkpoint(model, tmp_path / 'a.pth')
    load_checkpoint(model, tmp_path / 'a.pth')
    with torch.no_grad():
        model.bias[0] = -math.inf
    torch.save(model.state_dict(), tmp_path / 'b.pth')
    with pytest.raises(UserError, match='infinite values in bias'):
        load_checkpoint(model, tmp_path / 'b.pth')


@pytest.mark.parametrize('value, dtype', [(math.nan, None), (1e30, torch.float16)])
def test_what_loading_would_refuse_is_not_written(tmp_path, value, dtype):
    model = nn.Linear(2, 2)
    nn.init.constant_(model.bias, value)
    with pytest.raises(UserError, match='in bias'):
        save_checkpoint(model, tmp_path / 'a.safetensors', dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_the_first_tensor_that_is_not_finite():
    sound = {'a': torch.ones(2), 'b': torch.full((2, ), 3e38)}  # whose norm is infinite
    assert first_not_finite(sound) is None
    assert first_not_finite({**sound, 'c': torch.tensor(math.inf)}) == 'c'
    assert first_not_finite({'x': torch.tensor([math.nan]), **sound}) == 'x'
    assert first_not_finite({}) is None
