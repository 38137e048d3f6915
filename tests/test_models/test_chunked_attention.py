"""The one-pass cross attention against the form with whole attention maps."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from glipkit.models.fusion.attention_maps import attend_at_once
from glipkit.models.kernels import attention_chunks, attention_gradients, chunked_attention
from glipkit.models.kernels.chunked_attention import attend_both_ways

HEADS = 2


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch):
    """Seven positions make three chunks in two groups, the last chunk shorter."""
    for module in (chunked_attention, attention_gradients):
        monkeypatch.setattr(module, 'chunk_rows', lambda keys: 3)
    monkeypatch.setattr(attention_chunks, 'GROUPS', 2)


def inputs(spread: float = 1.0, dtype=torch.float64, tokens: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(  # noqa: E731
        *shape, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()
    mask = torch.ones(2, tokens, dtype=torch.bool)
    mask[1, tokens // 2:] = False
    columns = HEADS * tokens
    keys = (draw(2, 5, columns).detach() * spread).requires_grad_()
    return [draw(2, 7, 5), keys, draw(2, columns), draw(2, columns, 5), draw(5), mask]


def gradients(outputs, wanted):
    generator = torch.Generator().manual_seed(1)
    loss = sum((o * torch.randn(o.shape, dtype=o.dtype, generator=generator)).sum()
               for o in outputs)
    return torch.autograd.grad(loss, wanted)


# Similarities near 1; beyond the range of unshifted exponentials; beyond the clamp.
@pytest.mark.parametrize('spread, max_logit', [(1.0, 50000.), (200.0, 50000.), (200.0, 60.)])
def test_equals_the_form_with_whole_maps(spread, max_logit):
    arguments = inputs(spread)
    ours = attend_both_ways(*arguments, HEADS, max_logit, 0.)
    theirs = attend_at_once(*arguments, HEADS, max_logit, 0.)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)
    for a, b in zip(gradients(ours, arguments[:5]), gradients(theirs, arguments[:5])):
        torch.testing.assert_close(a, b)


@given(st.integers(1, 6), st.floats(0.01, 300.), st.floats(-500., 500.))
def test_equals_whole_maps_whatever_the_size_of_similarities(tokens, spread, shift):
    visual, keys, offset, values, bias, mask = inputs(spread, tokens=tokens + 1)
    arguments = visual, keys, offset + shift, values, bias, mask
    for a, b in zip(attend_both_ways(*arguments, HEADS, 1000., 0.),
                    attend_at_once(*arguments, HEADS, 1000., 0.)):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.parametrize('dropout', [0., 0.4])
@pytest.mark.parametrize('spread', [1.0, 200.0])
def test_gradcheck(dropout, spread):
    *tensors, mask = inputs(spread)
    # Steps of the check must stay small against similarities that are large.
    def outputs(*tensors):
        torch.manual_seed(3)
        return attend_both_ways(*tensors, mask, HEADS, 50000., dropout)
    assert torch.autograd.gradcheck(outputs, tensors, eps=1e-7 / spread, atol=1e-4, rtol=1e-3)


def test_dropout_keeps_the_mean_and_follows_the_seed():
    arguments = [x.detach() for x in inputs()]
    draw = lambda: attend_both_ways(*arguments, HEADS, 50000., 0.3)  # noqa: E731
    torch.manual_seed(0)
    first, second = draw(), draw()
    torch.manual_seed(0)
    again = draw()
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[0], second[0])
    draws = [draw() for _ in range(500)]
    for i, expected in enumerate(attend_at_once(*arguments, HEADS, 50000., 0.)):
        assert (torch.stack([d[i] for d in draws]).mean(0) - expected).abs().max() < 0.24


def test_half_precision_stays_close():
    whole = inputs(0.5, torch.float32)
    half = [x if x.dtype == torch.bool else x.bfloat16() for x in whole]
    for a, b in zip(attend_both_ways(*whole, HEADS, 50000., 0.),
                    attend_both_ways(*half, HEADS, 50000., 0.)):
        assert (a - b.float()).abs().max() < 0.05 * a.abs().max()


def test_operations_are_counted():
    arguments = inputs()
    with FlopCounterMode(display=False) as counter:
        ours = attend_both_ways(*arguments, HEADS, 50000., 0.)
        forward = counter.get_total_flops()
        gradients(ours, arguments[:5])
    product = 2 * 2 * 7 * 5 * HEADS * 4
    assert forward == 3 * product and counter.get_total_flops() == 10 * product


def test_is_one_operator_for_the_compiler():
    arguments = [x.detach() for x in inputs()]
    compiled = torch.compile(attend_both_ways, backend='aot_eager', fullgraph=True)
    for a, b in zip(compiled(*arguments, HEADS, 50000., 0.),
                    attend_both_ways(*arguments, HEADS, 50000., 0.)):
        torch.testing.assert_close(a, b)
