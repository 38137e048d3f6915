"""Weights of a package are found, held and left out of files."""
import copy
import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from glipkit.checkpoints.packaged import hold, hold_packaged, read_packaged
from glipkit.errors import UserError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with two files of weights, and code that must not run."""
    folder = tmp_path / 'site' / 'some_tower'
    (folder / 'model').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise RuntimeError("imported")')
    state = {'weight': torch.full((2, 3), 2.), 'bias': torch.full((2,), 3.)}
    save_file(state, folder / 'model' / 'a.safetensors')
    torch.save({'w': state['weight'], 'b': state['bias']}, folder / 'model' / 'b.pth')
    monkeypatch.syspath_prepend(str(tmp_path / 'site'))
    return folder


def source(file='model/a.safetensors', **more):
    return dict(package='some_tower', file=file, install='glipkit[some]', **more)


def test_files_are_read_and_no_code_runs(package):
    assert read_packaged(**source())['bias'].tolist() == [3., 3.]
    assert list(read_packaged(**source('model/b.pth'))) == ['w', 'b']
    digest = hashlib.sha256((package / 'model/a.safetensors').read_bytes()).hexdigest()
    assert read_packaged(**source(sha256=digest))


@pytest.mark.parametrize('arguments', [
    dict(package='no_such_package', file='x', install='glipkit[some]'), source('model/none.pth'),
    source(sha256='0' * 64)])
def test_what_is_missing_or_changed_is_one_line(package, arguments):
    with pytest.raises(UserError, match=r'glipkit\[some\]') as raised:
        read_packaged(**arguments)
    assert '\n' not in str(raised.value)


class Tower(nn.Module):
    """A held layer and one that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.held = nn.Linear(3, 2)
        self.own = nn.Linear(2, 1)
        hold_packaged(self.held, source())


def test_held_weights_are_in_no_state_dict(package):
    tower = Tower()
    assert set(tower.state_dict()) == {'own.weight', 'own.bias'}
    assert tower.held.weight[0, 0] == 2 and not tower.held.weight.requires_grad
    assert all(p.requires_grad for p in tower.own.parameters())
    other = Tower()
    assert other.load_state_dict(tower.state_dict(), strict=True)
    assert torch.equal(other.own.weight, tower.own.weight)
    twin = copy.deepcopy(tower)
    assert set(twin.state_dict()) == {'own.weight', 'own.bias'}
    assert twin.load_state_dict(tower.state_dict(), strict=True)
    with pytest.raises(RuntimeError, match='own.bias'):
        tower.load_state_dict({'own.weight': tower.own.weight}, strict=True)


def test_some_keys_may_stay_with_the_module(package):
    layer = nn.Linear(3, 2)
    hold(layer, {'weight': torch.ones(2, 3)}, others=['bias'])
    assert list(layer.state_dict()) == ['bias']


def test_another_architecture_is_refused(package):
    with pytest.raises(UserError, match='for weight and 0 more'):
        hold_packaged(nn.Linear(4, 2), source())
    with pytest.raises(UserError, match='3 tensors'):
        hold_packaged(nn.Linear(3, 2), source('model/b.pth'), by_order=['weight', 'bias', 'more'])
    layer = nn.Linear(3, 2)
    hold_packaged(layer, source('model/b.pth'), by_order=['weight', 'bias'])
    assert layer.bias.tolist() == [3., 3.]
