"""Operations counted, against counts by hand."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import deform_conv2d

from glipkit.benchmarks import flops
from glipkit.benchmarks.flops import LARGEST_SIDE, MATMULS, Matmul, count_flops, lasting_side


def test_a_small_model_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
                          nn.Linear(8 * 6 * 5, 4))
    x = torch.zeros(2, 3, 6, 5)
    forward = 2 * 2 * 8 * 30 * 27 + 2 * 2 * 240 * 4
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert count_flops(lambda: model(x)) == forward
    # Backwards two products for each layer, less the gradient of the images that nobody needs.
    assert count_flops(lambda: model(x).sum().backward()) == 3 * forward - 2 * 2 * 8 * 30 * 27


def test_the_same_product_costs_the_same_in_every_spelling():
    a, b = torch.zeros(2, 5, 7), torch.zeros(2, 7, 3)
    assert count_flops(lambda: a @ b) == count_flops(lambda: torch.einsum('bij,bjk->bik', a, b)) \
        == 2 * 2 * 5 * 7 * 3


def test_deformable_convolution_is_a_convolution_with_interpolated_samples():
    x, weight = torch.zeros(2, 4, 6, 5), torch.zeros(8, 4, 3, 3)
    offset, mask = torch.zeros(2, 18, 6, 5), torch.zeros(2, 9, 6, 5)
    plain = count_flops(lambda: F.conv2d(x, weight, padding=1))
    samples = 2 * 30 * 9 * 4
    found = count_flops(lambda: deform_conv2d(x, offset, weight, padding=1, mask=mask))
    assert found == plain + 8 * samples  # four neighbours, each a product and a sum
    weight.requires_grad_()
    both = count_flops(
        lambda: deform_conv2d(x, offset, weight, padding=1, mask=mask).sum().backward())
    assert both == 3 * found


def test_gathers_with_weights():
    table = torch.zeros(10, 6, requires_grad=True)
    rows, weights = torch.zeros(7, 4, dtype=torch.long), torch.zeros(7, 4, requires_grad=True)

    def gather():
        return F.embedding_bag(rows, table, per_sample_weights=weights, mode='sum')

    one = 2 * 7 * 4 * 6
    assert count_flops(gather) == one
    assert count_flops(lambda: gather().sum().backward()) == 3 * one


def test_sampling_on_a_grid():
    x, grid = torch.zeros(2, 3, 6, 5, requires_grad=True), torch.zeros(2, 4, 7, 2)
    one = 8 * 2 * 3 * 4 * 7
    assert count_flops(lambda: F.grid_sample(x, grid, align_corners=False)) == one
    assert count_flops(
        lambda: F.grid_sample(x, grid, align_corners=False).sum().backward()) == 3 * one


def test_the_yardstick_says_what_it_does():
    threads = torch.get_num_threads()
    matmul = Matmul('float32', 'cpu', 1, side=16)
    torch.set_num_threads(threads)
    assert matmul.details['flops'] == count_flops(matmul) == MATMULS * 2 * 16**3


@pytest.mark.parametrize(('rate', 'side'), [(.5e9, 256), (1e11, 1024), (1e15, LARGEST_SIDE['cpu'])])
def test_products_last_long_enough_and_not_longer(monkeypatch, rate, side):
    """At half a GFLOP/s, as a processor without bfloat16 has, up to that of a GPU."""
    monkeypatch.setattr(flops, '_seconds_of_product', lambda side, *_: 2 * side**3 / rate)
    assert lasting_side('bf16', 'cpu') == side


@pytest.mark.parametrize('dtype', ['float32', 'bf16'])
def test_a_size_is_found_on_any_processor(dtype):
    assert 128 <= lasting_side(dtype, 'cpu', seconds=.002) <= LARGEST_SIDE['cpu']
