"""Moments of one byte: AdamW's steps, unbiased rounding, resuming."""
import io

import pytest
import torch
from torch import nn

from glipkit.engine.optim import compact_adamw, eight_bits
from glipkit.engine.optim.compact_adamw import CompactAdamW
from glipkit.errors import UserError


def weights(count=5000, **kwargs):
    generator = torch.Generator().manual_seed(3)
    weight = nn.Parameter(torch.randn(count, generator=generator))
    return weight, CompactAdamW([weight], **kwargs)


def run(weight, optimizer, steps, start=0):
    """Steps of gradients whose sizes lie four decades apart."""
    for step in range(start, start + steps):
        generator = torch.Generator().manual_seed(step)
        sizes = 10 ** torch.linspace(-4, 0, weight.numel()).view_as(weight)
        weight.grad = (torch.randn(weight.shape, generator=generator) + 0.3) * sizes
        optimizer.step()


def test_the_first_step_is_that_of_adamw():
    """Moments are rounded behind a step."""
    (ours, compact), (theirs, _) = weights(lr=0.1), weights()
    adamw = torch.optim.AdamW([theirs], lr=0.1)
    run(ours, compact, 1), run(theirs, adamw, 1)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('count', [4096, 5000, (1 << 19) + 257])
def test_moments_stay_near_those_of_adamw(count):
    """Every element moves as AdamW moves it, whatever the size of its gradients."""
    (ours, compact), (theirs, _) = weights(count, lr=1e-3), weights(count)
    start = theirs.detach().clone()
    adamw = torch.optim.AdamW([theirs], lr=1e-3, weight_decay=0.01)
    run(ours, compact, 40), run(theirs, adamw, 40)
    way, other = (ours - start).detach(), (theirs - start).detach()
    assert (way - other).norm() < 0.05 * other.norm()
    for part, same in zip(way.chunk(4), other.chunk(4)):
        assert float(part.sum()) == pytest.approx(float(same.sum()), rel=0.02)


def test_a_second_moment_that_changes_by_a_thousandth_follows():
    """It falls from gradients of one to those of a tenth as AdamW's does."""
    weight, optimizer = weights(4096, lr=0.)
    other = nn.Parameter(weight.detach().clone())
    adamw = torch.optim.AdamW([other], lr=0., fused=True)
    for size, steps in ((1., 300), (0.1, 1500)):
        for step in range(steps):
            weight.grad = other.grad = size * torch.randn(
                4096, generator=torch.Generator().manual_seed(step))
            optimizer.step(), adamw.step()
    state = optimizer.state[weight]
    moments = eight_bits.Moments(state['exp_avg'], state['exp_avg_sq'], state['scales'])
    _, root = eight_bits.Coder(weight.device).read(moments, 1., 0.)
    expected = adamw.state[other]['exp_avg_sq']
    assert float((root**2).mean()) == pytest.approx(float(expected.mean()), rel=0.03)
    assert (root / expected.sqrt() - 1).std() < 0.15


def test_a_small_network_learns_as_well():
    """Circles in the plane, by three layers: the loss at the end is AdamW's to a twentieth."""
    losses = []
    for kind in (CompactAdamW, torch.optim.AdamW):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(),
                            nn.Linear(128, 1))
        optimizer, last = kind(net.parameters(), lr=3e-3, weight_decay=0.01), []
        for _ in range(400):
            points = torch.rand(128, 2) * 4 - 2
            inside = (points.norm(dim=1).long() % 2).float()[:, None]
            loss = nn.functional.binary_cross_entropy_with_logits(net(points), inside)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            last.append(loss.item())
        losses.append(sum(last[-100:]) / 100)
    assert losses[0] < 0.5 < last[0] and losses[0] == pytest.approx(losses[1], rel=0.05)


def test_two_bytes_an_element_and_small_tensors_as_ever():
    big, small = nn.Parameter(torch.ones(64, 100)), nn.Parameter(torch.ones(100))
    twin = nn.Parameter(torch.ones(100))
    optimizer, adamw = CompactAdamW([big, small], lr=0.1), torch.optim.AdamW([twin], lr=0.1)
    for _ in range(3):
        for weight in (big, small, twin):
            weight.grad = torch.linspace(-1, 1, weight.numel()).view_as(weight)
        optimizer.step(), adamw.step()
    assert torch.equal(small, twin)
    stored = [x for key, x in optimizer.state[big].items() if key != 'step']
    assert sum(x.nbytes for x in stored) == 2 * 6400 + 4 * 25
    for weight in (big, small):
        shapes = {key: tuple(x.shape) for key, x in optimizer.state[weight].items()}
        assert shapes == {**optimizer.state_shapes(weight), 'step': ()}


def test_a_training_resumes_where_it_was():
    ours, optimizer = weights()
    run(ours, optimizer, 3)
    file = io.BytesIO()
    torch.save(dict(weight=ours, optimizer=optimizer.state_dict()), file)
    run(ours, optimizer, 3, start=3)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = nn.Parameter(saved['weight'].detach())
    second = CompactAdamW([resumed], lr=5.)
    second.load_state_dict(saved['optimizer'])
    run(resumed, second, 3, start=3)
    assert torch.equal(resumed, ours)


def test_threads_change_nothing():
    count = 3 * (1 << 15) + 11
    first, optimizer = weights(count)
    run(first, optimizer, 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        second, optimizer = weights(count)
        run(second, optimizer, 3)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(first, second)


def test_elements_without_gradients_stay_as_they_are():
    """Rows of an embedding that no text has asked for: decay alone."""
    table = nn.Parameter(torch.ones(32, 256))
    optimizer = CompactAdamW([table], lr=0.1, weight_decay=0.)
    for _ in range(5):
        table.grad = torch.zeros_like(table)
        table.grad[3, ::2] = 1.
        optimizer.step()
    assert torch.equal(table[torch.arange(32) != 3], torch.ones(31, 256))
    assert torch.equal(table[3, 1::2], torch.ones(128))
    assert (table[3, ::2] < 0.6).all()


def test_what_is_not_a_number_is_not_hidden():
    weight, optimizer = weights()
    weight.grad = torch.ones_like(weight)
    weight.grad[17] = float('nan')
    optimizer.step()
    assert weight.isnan().any()


def test_layouts_change_nothing_but_the_blocks():
    """The first step is AdamW's own in any layout of weight and gradient."""
    for layout in (torch.channels_last, torch.contiguous_format):
        weight = nn.Parameter(torch.ones(64, 64, 3, 3).to(memory_format=torch.channels_last))
        twin = nn.Parameter(weight.detach().clone())
        weight.grad = torch.randn(64, 64, 3, 3).to(memory_format=layout)
        twin.grad = weight.grad.clone()
        optimizer = CompactAdamW([weight], lr=0.1)
        optimizer.step()
        torch.optim.AdamW([twin], lr=0.1).step()
        torch.testing.assert_close(weight, twin)
        assert optimizer.state[weight]['exp_avg'].dtype == torch.int8
        state = optimizer.state_dict()
        other = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
        with pytest.raises(UserError, match='strides'):
            CompactAdamW([other]).load_state_dict(state)


@pytest.mark.parametrize('weight', [torch.ones(5000, dtype=torch.float64),
                                    torch.ones(100, 128)[:, ::2]])
def test_what_pieces_are_not_made_for_is_adamw_s_own(weight):
    weight = nn.Parameter(weight)
    twin = nn.Parameter(weight.detach().clone())
    weight.grad = torch.randn_like(weight)
    twin.grad = weight.grad.clone()
    CompactAdamW([weight], lr=0.1).step()
    torch.optim.AdamW([twin], lr=0.1).step()
    assert torch.equal(weight, twin)


def test_bounds_of_a_step_and_wrong_numbers():
    """(1 - 0.9) / sqrt(0.001 (1 - 0.81 / 0.999)) = 7.27."""
    assert eight_bits.largest_step((0.9, 0.999)) == pytest.approx(7.27, abs=0.01)
    assert eight_bits.largest_step((0.9, 0.5)) == 16
    with pytest.raises(ValueError, match='betas'):
        compact_adamw.CompactAdamW([nn.Parameter(torch.zeros(1))], betas=(0.9, 1.))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_device_steps_as_the_processor():
    (ours, compact), (theirs, _) = weights(5000, lr=1e-3), weights(5000)
    device = nn.Parameter(theirs.detach().cuda())
    other = CompactAdamW([device], lr=1e-3)
    for step in range(5):
        gradient = torch.randn(5000, generator=torch.Generator().manual_seed(step))
        ours.grad, device.grad = gradient, gradient.cuda()
        compact.step(), other.step()
    torch.testing.assert_close(device.cpu(), ours, atol=1e-4, rtol=0)
