"""Parameter groups of the official solver, and autocast on a CPU."""
import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from glipkit.engine.optim.autocast import AutocastOptimWrapper
from glipkit.engine.optim.constructor import GroundingOptimConstructor
from glipkit.engine.optim.tensor_clip import ClippingOptimWrapper


class Model(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = nn.Linear(2, 2)
        self.head = nn.Linear(2, 2)
        self.norm = nn.LayerNorm(2)
        self.bias_lang = nn.Parameter(torch.zeros(2))
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)

    def forward(self, x):
        return self.head(x)


def build(**rules):
    constructor = GroundingOptimConstructor(
        dict(optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-2)), rules)
    return constructor(Model()).optimizer


def test_rules_of_the_official_solver():
    with DefaultScope.overwrite_default_scope('glipkit'):
        optimizer = build(lr_mults={'text_encoder.': 0.1}, bias_lr_mult=2., bias_decay_mult=0.)
    found = {}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            found.setdefault((group['lr'], group['weight_decay']), []).append(parameter.shape)
    assert {key: len(value) for key, value in found.items()} == {
        (1e-5, 1e-2): 1,  # text_encoder.weight
        (2e-5, 0.): 1,  # text_encoder.bias
        (1e-4, 1e-2): 2,  # head.weight, norm.weight: norms are decayed
        (2e-4, 0.): 3,  # head.bias, norm.bias, bias_lang
    }


def test_unknown_rules_and_prefixes_are_refused():
    with pytest.raises(ValueError, match='norm_decay_mult'):
        build(norm_decay_mult=0.)
    with pytest.raises(ValueError, match='bert'):
        build(lr_mults={'bert.': 0.1})


def test_autocast_wrapper_computes_in_bf16_and_keeps_float32_weights():
    model = Model()
    wrapper = AutocastOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        out = model(torch.ones(1, 2))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert all(p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize('wrapper', [ClippingOptimWrapper, AutocastOptimWrapper])
def test_each_gradient_is_clipped_by_its_own_norm(wrapper):
    """Norms 10, 3 and none, bound 5: steps of norm 5 and 3."""
    a, b, c = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    settings = dict(type='tensor_norm', max_norm=5.)
    built = wrapper(torch.optim.SGD([a, b, c], lr=1.), clip_grad=settings)
    built.update_params((a * torch.tensor([6., 8.])).sum() + (b * torch.tensor([0., 3.])).sum())
    torch.testing.assert_close(a.data, torch.tensor([-3., -4.]))
    assert b.tolist() == [0, -3] and c.tolist() == [0, 0]
    assert settings == dict(type='tensor_norm', max_norm=5.)
    assert built.message_hub.get_scalar('train/grad_norm').current() == pytest.approx(10)


def test_the_norm_of_all_gradients_is_still_clipped():
    a, b = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    built = ClippingOptimWrapper(torch.optim.SGD([a, b], lr=1.), clip_grad=dict(max_norm=5.))
    built.update_params((6 * a + 8 * b).sum())
    torch.testing.assert_close(torch.cat([a, b]).detach(), torch.tensor([-3., -4.]))


@pytest.mark.parametrize(('optimizer', 'fused'), [
    (dict(type='AdamW', lr=1e-4), True), (dict(type='SGD', lr=1e-4), True),
    (dict(type='AdamW', lr=1e-4, foreach=True), False), (dict(type='Adagrad', lr=1e-4), False)])
def test_what_trains_on_a_gpu_has_a_fused_step(optimizer, fused):
    from glipkit.benchmarks.launches import StandIn
    from glipkit.engine.optim.fused import fused_on_gpu
    model, config = nn.Linear(2, 2), dict(type='OptimWrapper', optimizer=optimizer)
    assert fused_on_gpu(config, model) is config  # on a processor
    StandIn().move(model)
    found = fused_on_gpu(config, model)
    assert found['optimizer'].get('fused', False) is fused and 'fused' not in optimizer
    assert fused_on_gpu(None, model) is None
    model.requires_grad_(False)
    assert fused_on_gpu(config, model) is config
