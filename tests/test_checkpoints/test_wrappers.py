"""Compiled, averaged and distributed models: what is written of them is read into any other."""
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from glipkit.checkpoints import (
    Checkpoint,
    load_checkpoint,
    load_text_encoder,
    read_training_checkpoint,
    save_checkpoint,
    write,
)

from .tiny import TINY, module_of, official_state, random_state


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model)


def compiled_inside(model: nn.Module) -> nn.Module:
    model.backbone = torch.compile(model.backbone)
    return model


WRAPPERS = {
    'compiled': [compiled],
    'a part compiled': [compiled_inside],
    'distributed': [nn.DataParallel],
    'averaged': [AveragedModel],
    'averaged by mmengine': [ExponentialMovingAverage],
    'compiled, distributed': [compiled, nn.DataParallel],
    'distributed, compiled': [nn.DataParallel, compiled],
    'a part compiled, averaged, compiled, distributed':
        [compiled_inside, AveragedModel, compiled, nn.DataParallel],
}


@pytest.fixture(params=WRAPPERS.values(), ids=list(WRAPPERS))
def wrap(request):
    def wrapped(model: nn.Module) -> nn.Module:
        for wrapper in request.param:
            model = wrapper(model)
        return model
    return wrapped


def filled() -> nn.Module:
    model = module_of(TINY.shapes())
    model.load_state_dict(random_state(TINY), strict=False)
    return model


def check(model: nn.Module) -> None:
    own = model.state_dict()
    assert all(torch.equal(own[key], value) for key, value in random_state(TINY).items())


@pytest.mark.parametrize('name', ['a.safetensors', 'a.pth'])
def test_what_is_saved_is_the_plain_model(tmp_path, wrap, name):
    save_checkpoint(wrap(filled()), tmp_path / name)
    keys = load_file(tmp_path / name) if name == 'a.safetensors' else \
        torch.load(tmp_path / name)['state_dict']
    assert keys.keys() == random_state(TINY).keys()
    model = module_of(TINY.shapes())
    load_checkpoint(model, tmp_path / name)
    check(model)


def test_weights_go_into_wrapped_models(tmp_path, wrap):
    write(Checkpoint(random_state(TINY)), tmp_path / 'a.safetensors')
    inner = module_of(TINY.shapes())
    wrapped = wrap(inner)
    load_checkpoint(wrapped, tmp_path / 'a.safetensors')
    save_checkpoint(wrapped, tmp_path / 'b.safetensors')
    check_file = load_file(tmp_path / 'b.safetensors')
    assert all(torch.equal(check_file[key], value) for key, value in random_state(TINY).items())


def test_the_state_dict_of_a_wrapped_model(tmp_path, wrap):
    """As plain torch saves it, prefixes, counters and all."""
    torch.save(wrap(filled()).state_dict(), tmp_path / 'a.pth')
    model = module_of(TINY.shapes())
    load_checkpoint(model, tmp_path / 'a.pth')
    check(model)
    content = read_training_checkpoint(tmp_path / 'a.pth')
    assert random_state(TINY).keys() <= content['state_dict'].keys()


@pytest.mark.parametrize('prefix', ['_orig_mod.', 'module._orig_mod.', '_orig_mod.module.',
                                    'module.module.', 'module._orig_mod.module.'])
@pytest.mark.parametrize('layout', ['glipkit', 'official'])
def test_prefixes_in_any_order_and_layout(tmp_path, prefix, layout):
    state = random_state(TINY) if layout == 'glipkit' else official_state(TINY, '')
    torch.save({'model': {prefix + key: value for key, value in state.items()}},
               tmp_path / 'a.pth')
    model = module_of(TINY.shapes())
    load_checkpoint(model, tmp_path / 'a.pth')
    check(model)


def test_a_part_out_of_a_wrapped_whole(tmp_path):
    torch.save(AveragedModel(torch.compile(filled())).state_dict(), tmp_path / 'a.pth')
    encoder = module_of({key.removeprefix('text_encoder.'): shape
                         for key, shape in TINY.shapes().items()
                         if key.startswith('text_encoder.')})
    load_text_encoder(encoder, tmp_path / 'a.pth')
    state = {key.removeprefix('text_encoder.'): value for key, value in random_state(TINY).items()}
    assert all(torch.equal(value, state[key]) for key, value in encoder.state_dict().items())


def test_a_training_checkpoint_of_a_wrapped_model(tmp_path):
    state = copy.copy(torch.compile(filled()).state_dict())
    torch.save({'state_dict': state, 'meta': {'epoch': 0, 'iter': 1}, 'message_hub': {}},
               tmp_path / 'a.pth')
    read = read_training_checkpoint(tmp_path / 'a.pth')['state_dict']
    assert random_state(TINY).keys() <= read.keys()
