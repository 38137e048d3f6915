"""Steps within the backward pass are the steps behind it."""
import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from glipkit.engine.optim.autocast import AutocastOptimWrapper
from glipkit.engine.optim.compact_adamw import CompactAdamW
from glipkit.engine.optim.tensor_clip import ClippingOptimWrapper
from glipkit.errors import UserError


class Model(nn.Module):
    """A layer that is used twice, one that is computed again, one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.twice, self.again, self.unused = (nn.Linear(80, 80) for _ in range(3))

    def forward(self, x):
        x = self.twice(x).tanh()
        x = checkpoint(lambda y: self.again(y).tanh() * self.again.weight.mean(), x,
                       use_reentrant=False)
        return self.twice(x)


def train(model, optimizer, wrapper=ClippingOptimWrapper, steps=3, **settings):
    weights = list(model.parameters())
    groups = [dict(params=weights[:2], lr=0.01), dict(params=weights[2:], lr=0.02)]
    built = wrapper(optimizer(groups), **settings)
    for step in range(steps):
        x = torch.randn(4, 80, generator=torch.Generator().manual_seed(step))
        with built.optim_context(model):
            loss = model(x).float().square().sum()
        built.update_params(loss)
    return built


def state_of(wrapper):
    content = wrapper.state_dict()
    return str(content['param_groups']), str(sorted(content['state'].items()))


@pytest.mark.parametrize('optimizer', [torch.optim.AdamW, CompactAdamW, torch.optim.SGD])
@pytest.mark.parametrize('settings', [
    {}, dict(clip_grad=dict(type='tensor_norm', max_norm=0.1)),
    dict(clip_grad=dict(type='value', clip_value=0.01))])
def test_the_same_weights_and_state(optimizer, settings):
    one, other = Model(), Model()
    plain = train(one, optimizer, **settings)
    released = train(other, optimizer, release_gradients=True, **settings)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))
    assert all(weight.grad is None for weight in other.parameters())
    assert state_of(plain) == state_of(released)
    if 'type' in settings.get('clip_grad', {}) and 'max_norm' in settings['clip_grad']:
        assert released.message_hub.get_scalar('train/grad_norm').current() > 0.1


def test_one_gradient_is_there_at_a_time():
    """When the first layer of three is stepped, the others have no gradients any more."""
    layers = nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(3)))
    built = ClippingOptimWrapper(torch.optim.SGD(layers.parameters(), lr=1.),
                                 release_gradients=True)
    alive = []
    for layer in layers:
        layer.weight.register_hook(
            lambda grad: alive.append(sum(x.weight.grad is not None for x in layers)))
    built.update_params(layers(torch.ones(1, 4)).sum())
    assert alive == [0, 0, 0]


def test_bf16_and_other_backward_passes():
    model = Model()
    built = train(model, torch.optim.SGD, AutocastOptimWrapper, release_gradients=True)
    before = copy.deepcopy(model.state_dict())
    model(torch.ones(1, 80)).sum().backward()  # somebody's own
    assert model.again.weight.grad is not None
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [len(group['params']) for group in built.optimizer.param_groups] == [2, 4]


def test_a_pass_that_fails_leaves_the_optimiser_whole():
    weight = nn.Parameter(torch.ones(3))
    built = ClippingOptimWrapper(torch.optim.SGD([weight], lr=1.), release_gradients=True)
    with pytest.raises(RuntimeError, match='scalar'):
        built.update_params(weight * 2)
    assert built.optimizer.param_groups[0]['params'] == [weight]


@pytest.mark.parametrize('settings, named', [
    (dict(clip_grad=dict(max_norm=1.)), 'norm of all'),
    (dict(clip_grad=dict(type='norm', max_norm=1.)), 'tensor_norm'),
    (dict(accumulative_counts=2), 'accumulative_counts=2')])
def test_what_needs_all_gradients_is_refused(settings, named):
    with pytest.raises(UserError, match=named):
        train(Model(), torch.optim.SGD, release_gradients=True, **settings)
