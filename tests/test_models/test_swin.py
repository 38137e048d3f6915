"""The windowed Swin against mmdet's, forward and backward."""
import pytest
import torch
from mmdet.models.backbones.swin import SwinTransformer as Reference
from torch.utils.flop_counter import FlopCounterMode

from glipkit.models.backbones import swin
from glipkit.models.backbones.swin import SwinTransformer

CONFIG = dict(embed_dims=8, depths=[2, 1, 2], num_heads=[1, 2, 4], strides=(4, 2, 2),
              window_size=4, drop_path_rate=0.0, out_indices=(0, 1, 2))


def pair(**changes):
    torch.manual_seed(0)
    reference, ours = (cls(**{**CONFIG, **changes}).double() for cls in (Reference,
                                                                        SwinTransformer))
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours.load_state_dict(reference.state_dict())
    for model in (reference, ours):
        model.eval()
    return reference, ours


# Multiples of the window at every stage; odd sizes that are padded; a map smaller than a window.
@pytest.mark.parametrize('size', [(64, 64), (75, 58), (16, 9)])
@pytest.mark.parametrize('form', ['window by window', 'many windows', 'at once, as on a GPU'])
def test_inference_equals_mmdets(size, form, monkeypatch):
    monkeypatch.setattr(swin, 'CHUNK_ELEMENTS', 1 if form == 'window by window' else 1 << 20)
    if form == 'at once, as on a GPU':
        monkeypatch.setattr(swin, 'run_block', swin.run_block_at_once)
    reference, ours = pair()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        for a, b in zip(ours(images), reference(images), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('at_once', [False, True])
def test_gradients_equal_mmdets(with_cp, at_once, monkeypatch):
    if at_once:
        monkeypatch.setattr(swin, 'run_block', swin.run_block_at_once)
    reference, ours = pair(with_cp=with_cp)
    images = torch.randn(2, 3, 43, 58, dtype=torch.float64)
    grads = []
    for model in (reference, ours):
        sum((m * m).sum() for m in model(images)).backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    assert grads[0].keys() == grads[1].keys()
    for name in grads[0]:
        torch.testing.assert_close(grads[0][name], grads[1][name])


@pytest.mark.parametrize('grad', [False, True])
@pytest.mark.parametrize('shift', [0, 2])
def test_what_lies_beyond_the_map_is_in_the_attention_alone(grad, shift, monkeypatch):
    """A map of 5 x 6 tokens in windows of 4: 4 windows, 64 tokens, 30 of which are real."""
    monkeypatch.setattr(swin, 'CHUNK_ELEMENTS', 1 << 20)
    _, ours = pair()
    block, channels = ours.stages[0].blocks[shift // 2], 8
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(grad):
        swin.run_block(block, torch.randn(1, 30, channels, dtype=torch.float64), (5, 6))
    flops = counter.get_flop_counts()['Global']
    products = sum(count for name, count in flops.items()
                   if 'attention' not in str(name) and 'bmm' not in str(name))
    assert block.attn.shift_size == shift
    assert products == 2 * (64 * channels * 3 * channels + 30 * channels * (1 + 4 + 4) * channels)


def test_frozen_stages_get_no_gradient():
    _, ours = pair(frozen_stages=1)
    ours.train()
    sum(m.sum() for m in ours(torch.randn(1, 3, 32, 32, dtype=torch.float64))).backward()
    assert all(p.grad is None for p in ours.stages[0].blocks.parameters())
    assert all(p.grad is not None for p in ours.stages[2].parameters())
