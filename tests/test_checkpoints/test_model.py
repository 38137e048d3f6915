"""The tables and the real detector agree on every key."""
from __future__ import annotations

import re
import warnings

import pytest
import torch

from glipkit.apis.build import load
from glipkit.checkpoints import load_checkpoint, read, save_checkpoint, write
from glipkit.checkpoints.glip import Structure, check_complete
from glipkit.testing.tiny_glip import TINY_CONFIG


def unfused(config: str) -> str:
    config = re.sub(r'fusion=dict\(.*?\),\n', 'fusion=None,\n', config, flags=re.DOTALL)
    return re.sub(r' +text_layer=dict\(.*?\),\n', '', config, flags=re.DOTALL)


@pytest.fixture(params=[lambda config: config, unfused], ids=['fused', 'unfused'])
def model(request, tmp_path):
    (tmp_path / 'tiny_test.py').write_text(request.param(TINY_CONFIG))
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return load(tmp_path / 'tiny_test.py')


def test_a_models_own_tensors_are_those_of_its_structure(model):
    state = model.state_dict()
    assert Structure.from_state(state).shapes() == \
        {key: tuple(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize('layout', ['official', 'mmdet', 'glipkit'])
def test_weights_come_back_from_every_layout(model, tmp_path, layout):
    save_checkpoint(model, tmp_path / 'a.safetensors')
    write(read(tmp_path / 'a.safetensors'), tmp_path / 'b.pth', layout)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    load_checkpoint(model, tmp_path / 'b.pth')
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    check_complete(read(tmp_path / 'b.pth'), 'b.pth')
