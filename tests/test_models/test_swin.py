"""The windowed Swin against mmdet's, forward and backward."""
import pytest
import torch
from mmdet.models.backbones.swin import SwinTransformer as Reference

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


def test_frozen_stages_get_no_gradient():
    _, ours = pair(frozen_stages=1)
    ours.train()
    sum(m.sum() for m in ours(torch.randn(1, 3, 32, 32, dtype=torch.float64))).backward()
    assert all(p.grad is None for p in ours.stages[0].blocks.parameters())
    assert all(p.grad is not None for p in ours.stages[2].parameters())
