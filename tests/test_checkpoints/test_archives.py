"""TorchScript archives: read as state dicts, and nothing in them runs."""
from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from glipkit.apis.convert import convert_checkpoint
from glipkit.checkpoints import load_checkpoint, read_file, read_training_checkpoint
from glipkit.checkpoints.archives import is_archive, read_archive
from glipkit.checkpoints.files import read_training_state
from glipkit.errors import UserError

from .tiny_clip import Detector, openai_state, same


class Scaled(nn.Module):
    """Any module with a forward that TorchScript can write down."""

    def forward(self, x):
        return x * self.logit_scale


def clip_module(state: dict[str, torch.Tensor]) -> nn.Module:
    root = Scaled()
    for key, tensor in state.items():
        *path, name = key.split('.')
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]
        if tensor.is_floating_point() and 'running' not in name:
            module.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        else:
            module.register_buffer(name, tensor)
    return root.eval()


def write(path: Path, state: dict[str, torch.Tensor], way: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # newer torch prefers another format
        module = clip_module(state)
        made = torch.jit.script(module) if way == 'script' else \
            torch.jit.trace(module, torch.ones(2).half())
        made.save(str(path))
    return path


@pytest.mark.parametrize('way', ['script', 'trace'])
def test_an_archive_is_its_state_dict(tmp_path, way, monkeypatch):
    state = openai_state()
    path = write(tmp_path / 'RN50.pt', state, way)
    monkeypatch.setattr(torch.jit, 'load', None)
    monkeypatch.setattr(torch, 'load', None)
    assert is_archive(path) and same(read_archive(path), state)
    assert same(read_file(path).state, state)
    model = Detector()
    with pytest.warns(UserWarning, match='roi_head.bbox_pred stays as initialised'):
        assert load_checkpoint(model, path).layout == 'openai'
    assert torch.equal(model.backbone.conv1.weight, state['visual.conv1.weight'].float())
    assert read_training_state(path) is None
    assert 'text_encoder.text_projection' in read_training_checkpoint(path)['state_dict']


def test_tied_tensors_views_and_types(tmp_path):
    module = Scaled()
    module.logit_scale = nn.Parameter(torch.rand(4, 6))
    module.tied = module.logit_scale
    for place, dtype in enumerate((torch.bool, torch.uint8, torch.int32, torch.bfloat16)):
        module.register_buffer(f'b{place}', torch.arange(3).to(dtype))
    module.register_buffer('view', torch.arange(12.).reshape(3, 4).t()[1:])
    module.register_buffer('nothing', torch.empty(0, 3))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.jit.script(module).save(str(tmp_path / 'a.pt'))
    state = read_archive(tmp_path / 'a.pt')
    assert same({k: v.contiguous() for k, v in state.items()},
                {k: v.contiguous() for k, v in module.state_dict().items()})


def pack(path: Path, data: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('RN50/data.pkl', data)
        file.writestr('RN50/constants.pkl', pickle.dumps(()))
        file.writestr('RN50/code/__torch__/evil.py', 'import os; os.system("touch ran")')
        for name, content in entries.items():
            file.writestr(f'RN50/data/{name}', content)
    return path


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments) -> None:
        self.what = (function, arguments)

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize(('function', 'argument', 'name'), [
    (os.system, 'touch ran', 'system'), (eval, 'open("ran", "w")', 'eval'),
    (getattr, 'os', 'getattr'), (torch.load, 'a.pt', 'torch'), (__import__, 'os', '__import__'),
])
def test_an_archive_that_calls_something_is_refused(tmp_path, monkeypatch, function, argument,
                                                    name):
    monkeypatch.chdir(tmp_path)
    path = pack(tmp_path / 'RN50.pt', pickle.dumps(Calls(function, argument), 2))
    with pytest.raises(UserError, match=f'which asks to run .*{name}') as caught:
        load_checkpoint(Detector(), path)
    assert '\n' not in str(caught.value) and 'never runs code' in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ['RN50.pt']
    with pytest.raises(UserError, match='never runs code'):
        convert_checkpoint(path, tmp_path / 'out.pth')


GLOBAL, REBUILD = b'c__torch__.a\nM\n', b'ctorch._utils\n_rebuild_tensor_v2\n'
NEW = b')\x81'
#: A storage of four floats under the name 0: ('storage', FloatStorage, '0', 'cpu', 4).
STORAGE = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nK\x04tQ"


def module_of(value: bytes) -> bytes:
    """A pickle of a module with one attribute."""
    return b'\x80\x02' + GLOBAL + NEW + b'}Vweight\n' + value + b'sb.'


def tensor(size: int, stride: int, offset: int = 0) -> bytes:
    def number(value):
        return b'J' + value.to_bytes(4, 'little')
    return (REBUILD + b'(' + STORAGE + number(offset) + number(size) + b'\x85' + number(stride) +
            b'\x85' + b'\x89' + b'NtR')


def test_the_hand_made_archive_itself(tmp_path):
    numbers = torch.arange(4.)
    path = pack(tmp_path / 'a.pt', module_of(tensor(2, 2, 1)), **{'0': numbers.numpy().tobytes()})
    assert torch.equal(read_archive(path)['weight'], torch.tensor([1., 3.]))


@pytest.mark.parametrize(('data', 'numbers'), [
    (module_of(tensor(2**31 - 1, 0)), 16),  # gigabytes of one number
    (module_of(tensor(4, 1, 3)), 16), (module_of(tensor(4, 1)), 15), (module_of(tensor(4, 1)), 0),
    (module_of(tensor(4, 1).replace(b'V0\n', b'V../x\n')), 16),
    (b'\x80\x02' + GLOBAL + NEW + b'q\x00}Vself\nh\x00sb.', 16),  # a module inside itself
    (b'\x80\x02' + GLOBAL + NEW + b'K\x01b.', 16),  # attributes without names
    (b'\x80\x02K\x01.', 16), (b'\x80\x02', 16), (b'', 16),
])
def test_a_damaged_archive_is_one_clear_error(tmp_path, data, numbers):
    path = pack(tmp_path / 'a.pt', data, **{'0': bytes(numbers)})
    with pytest.raises(UserError, match='cut off or no checkpoint|state dict') as caught:
        read_file(path)
    assert '\n' not in str(caught.value)


def test_packed_numbers_are_refused(tmp_path):
    path = tmp_path / 'a.pt'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('a/data.pkl', module_of(tensor(4, 1)))
        file.writestr('a/constants.pkl', b'')
        file.writestr('a/data/0', bytes(16))
    with pytest.raises(UserError, match='packed numbers'):
        read_file(path)


def test_what_one_archive_does_to_its_names_does_not_reach_the_next(tmp_path):
    # Sets an attribute of the class that stands for modules, and of the function for tensors.
    spoil = (b'\x80\x02' + GLOBAL + b'N}V__setstate__\nctorch.jit._pickle\nbuild_intlist\ns\x86b'
             + b'0' + REBUILD + b'N}V__defaults__\n)s\x86b.')
    with pytest.raises(UserError):
        read_file(pack(tmp_path / 'a.pt', spoil))
    path = pack(tmp_path / 'b.pt', module_of(tensor(4, 1)), **{'0': bytes(16)})
    assert torch.equal(read_archive(path)['weight'], torch.zeros(4))


def test_other_zips_and_files_are_no_archives(tmp_path):
    torch.save({'a': torch.ones(1)}, tmp_path / 'plain.pth')
    (tmp_path / 'text.pt').write_text('no zip')
    assert not is_archive(tmp_path / 'plain.pth') and not is_archive(tmp_path / 'text.pt')
    assert not is_archive(tmp_path / 'missing.pt')
    assert torch.equal(read_file(tmp_path / 'plain.pth').state['a'], torch.ones(1))
