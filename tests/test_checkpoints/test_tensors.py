"""The tensors whose values move, against the modules that use them."""
from __future__ import annotations

import pytest
import torch
from mmdet.models.backbones.swin import WindowMSA
from mmdet.models.layers import PatchMerging

from glipkit.checkpoints.glip.tensors import (
    merge_to_unfold,
    relative_position_index,
    unfold_to_merge,
)


@pytest.mark.parametrize('shape', [(16, ), (8, 16)])
def test_the_merge_orders_are_inverse(shape):
    tensor = torch.arange(torch.Size(shape).numel()).reshape(shape)
    moved = merge_to_unfold(tensor)
    assert not torch.equal(moved, tensor)
    assert torch.equal(unfold_to_merge(moved), tensor)
    assert torch.equal(merge_to_unfold(unfold_to_merge(tensor)), tensor)


def test_mmdets_merging_computes_what_the_official_weights_mean():
    torch.manual_seed(0)
    channels, height, width = 3, 4, 6
    module = PatchMerging(channels, 2 * channels).eval()
    norm_weight, norm_bias = torch.rand(12), torch.rand(12)
    reduction = torch.randn(6, 12)
    module.load_state_dict({'norm.weight': merge_to_unfold(norm_weight),
                            'norm.bias': merge_to_unfold(norm_bias),
                            'reduction.weight': merge_to_unfold(reduction)})
    tokens = torch.randn(2, height * width, channels)
    # The formula of the Swin paper's code: four neighbours, the row's index moving first.
    grid = tokens.reshape(2, height, width, channels)
    four = torch.cat([grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], -1)
    normed = torch.nn.functional.layer_norm(four, (12, ), norm_weight, norm_bias)
    wanted = (normed @ reduction.T).reshape(2, -1, 6)
    torch.testing.assert_close(module(tokens, (height, width))[0], wanted)


@pytest.mark.parametrize('window', [2, 7])
def test_the_index_buffer_is_mmdets(window):
    module = WindowMSA(8, 2, (window, window))
    assert torch.equal(module.relative_position_index, relative_position_index(window))
