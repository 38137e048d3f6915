"""Products through oneDNN against PyTorch's own."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from glipkit.common import linear as module
from glipkit.common.linear import TransposedSum, batched_linear, linear, linear_layer, prepared

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(),
                                  reason='this PyTorch has no oneDNN')


@pytest.fixture
def calls(monkeypatch):
    """Products of any size go to oneDNN; the list says which did."""
    monkeypatch.setattr(module, 'LEAST_OPERATIONS', 0)
    made, run = [], module._onednn
    monkeypatch.setattr(module, '_onednn', lambda *args: made.append(args) or run(*args))
    return made


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@needs_onednn
@pytest.mark.parametrize('activation', ['none', 'gelu'])
@pytest.mark.parametrize('shape', [(7, 12), (2, 3, 12), (0, 12), (1, 12)])
def test_equals_the_linear_layer_of_pytorch(calls, shape, activation):
    x, weight, bias = draw(*shape), draw(5, 12), draw(5)
    expected = F.linear(x, weight, bias)
    expected = F.gelu(expected) if activation == 'gelu' else expected
    torch.testing.assert_close(linear(x, weight, bias, activation), expected)
    torch.testing.assert_close(prepared(weight, bias, 7)(x, activation), expected)
    assert len(calls) == 2


@needs_onednn
def test_a_residual_is_added(calls):
    x, weight, bias, residual = draw(4, 12), draw(5, 12), draw(5), draw(4, 5)
    torch.testing.assert_close(linear(x, weight, bias, residual=residual),
                               residual + F.linear(x, weight, bias))
    assert calls


@needs_onednn
def test_views_with_gaps_give_the_same(calls):
    wide, weights, bias = draw(6, 30), draw(5, 40), draw(5)
    x, weight = wide[:, 3:15], weights[:, 7:19]
    torch.testing.assert_close(linear(x, weight, bias), F.linear(x, weight, bias))
    torch.testing.assert_close(linear(wide.t()[3:15].t(), weight), F.linear(x, weight))
    assert calls


@needs_onednn
def test_gradients_are_those_of_pytorch(calls):
    tensors = [draw(2, 3, 12), draw(5, 12), draw(5), draw(2, 3, 5)]
    ours = [x.clone().requires_grad_() for x in tensors]
    theirs = [x.clone().requires_grad_() for x in tensors]
    x, weight, bias, residual = ours
    linear(x, weight, bias, 'none', residual).square().sum().backward()
    x, weight, bias, residual = theirs
    (residual + F.linear(x, weight, bias)).square().sum().backward()
    for mine, other in zip(ours, theirs):
        torch.testing.assert_close(mine.grad, other.grad)
    assert len(calls) == 3  # forward, gradient of x, gradient of the weight


@needs_onednn
def test_only_what_needs_a_gradient_is_computed(calls):
    x, weight = draw(4, 12), draw(5, 12).requires_grad_()
    linear(x, weight, draw(5)).sum().backward()
    assert len(calls) == 2


def test_small_products_and_other_types_stay_with_pytorch(monkeypatch):
    monkeypatch.setattr(module, '_onednn', lambda *args: pytest.fail('called'))
    x, weight = draw(3, 4), draw(5, 4)
    assert torch.equal(linear(x, weight), F.linear(x, weight))
    monkeypatch.setattr(module, 'LEAST_OPERATIONS', 0)
    x, weight = x.double(), weight.double()
    assert torch.equal(linear(x, weight), F.linear(x, weight))
    assert linear(x.to('meta'), weight.to('meta')).shape == (3, 5)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(linear(x.float(), weight.float()), F.linear(x.float(), weight.float()))


def test_types_that_do_not_fit_are_refused_as_by_pytorch(calls):
    with pytest.raises(RuntimeError):
        linear(draw(3, 4).double(), draw(5, 4))


def test_autocast_computes_in_its_type(calls):
    x, weight, bias = draw(6, 8), draw(5, 8), draw(5)
    with torch.autocast('cpu', torch.bfloat16):
        expected = F.linear(x, weight, bias)
        assert linear(x, weight, bias).dtype == torch.bfloat16
        torch.testing.assert_close(linear(x, weight, bias), expected)
        torch.testing.assert_close(prepared(weight, bias, 6)(x), expected)
        summed = linear(x, weight, bias, residual=draw(6, 5))
    assert summed.dtype == torch.float32


@needs_onednn
def test_gradients_under_autocast_have_the_types_of_the_weights(calls):
    x, weight, bias = draw(6, 8), draw(5, 8).requires_grad_(), draw(5).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        y = linear(x, weight, bias)
    y.float().square().sum().backward()
    assert weight.grad.dtype == bias.grad.dtype == torch.float32
    expected = 2 * y.detach().float()
    torch.testing.assert_close(bias.grad, expected.sum(0), rtol=.02, atol=.02)
    torch.testing.assert_close(weight.grad, expected.t() @ x, rtol=.05, atol=.2)


@needs_onednn
def test_second_derivatives_are_refused_rather_than_wrong(calls):
    x = draw(3, 4).requires_grad_()
    grad, = torch.autograd.grad(linear(x, draw(5, 4)).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_autocast_leaves_double_precision_alone():
    x, weight = draw(3, 4).double(), draw(5, 4).double()
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(linear(x, weight), F.linear(x, weight))


@needs_onednn
def test_operations_are_counted(calls):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        linear(draw(2, 3, 12), draw(5, 12), draw(5))
        linear(draw(6, 12), draw(5, 12), draw(5), residual=draw(6, 5))
    assert counter.get_total_flops() == 2 * (2 * 6 * 12 * 5)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_sums_of_transposed_products(parts, rows, columns):
    a, b = draw(parts, 6, rows), draw(parts, 6, columns)
    total = TransposedSum(rows, columns, torch.float32)
    for mine, other in zip(a, b):
        total.add(mine, other)
    torch.testing.assert_close(total.total, torch.einsum('pmo,pmi->oi', a, b),
                               rtol=1e-4, atol=1e-5)


@needs_onednn
def test_groups_have_weights_of_their_own(calls):
    x, weights = draw(2, 3, 4, 6), draw(3, 6, 5).transpose(1, 2)
    torch.testing.assert_close(batched_linear(x, weights), x @ weights.transpose(1, 2))
    assert len(calls) == 3


def test_exporters_see_the_common_operator(calls):
    class Model(torch.nn.Linear):
        def forward(self, x):
            return linear_layer(self, x, 'gelu')

    program = torch.export.export(Model(4, 5), (draw(3, 4), ))
    assert 'aten.linear' in str(program.graph) and 'mkldnn' not in str(program.graph)
