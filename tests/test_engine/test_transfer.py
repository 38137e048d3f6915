"""Transfer strategies: what is added, what trains, at what rate, and what stays as it is."""
from __future__ import annotations

import copy
import warnings

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from glipkit.apis.build import build_model, load
from glipkit.apis.training import load_config
from glipkit.engine.transfer import (
    STRATEGIES,
    TransferOptimConstructor,
    apply,
    build_strategy,
    describe,
)
from glipkit.engine.transfer.lora import add_low_rank
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import write_config
from glipkit.text.prompts import class_prompt

TRAINED = sorted(set(STRATEGIES) - {'manual'})
NAMES = ('red circle', 'star')


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return load(write_config(tmp_path_factory.mktemp('tiny')))


@pytest.fixture
def model(tiny):
    return copy.deepcopy(tiny)


@pytest.fixture(scope='module')
def glip_t():
    """GLIP-T (C), whose layers are not initialised: 232 M numbers that no test looks at."""
    with _no_init():
        return build_model(load_config('glip-t-c'))


class _no_init:
    """Makes building a large model cheap."""

    NAMES = ('uniform_', 'normal_', 'trunc_normal_', 'kaiming_uniform_', 'xavier_uniform_')

    def __enter__(self):
        self.kept = {name: getattr(nn.init, name) for name in self.NAMES}
        for name in self.NAMES:
            setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)

    def __exit__(self, *error):
        for name, function in self.kept.items():
            setattr(nn.init, name, function)


def put_on(model, name, **options):
    strategy = build_strategy(dict(name=name, **options))
    strategy.add(model, [class_prompt(list(NAMES))])
    return strategy, apply(model, strategy)


def batch(boxes=((4., 4., 40., 30.), )):
    torch.manual_seed(1)
    sample = DetDataSample(metainfo=dict(text=NAMES, img_shape=(64, 64)))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.zeros(len(boxes), dtype=torch.long))
    return torch.randn(1, 3, 64, 64), [sample]


@pytest.mark.parametrize('which', ['tiny', 'glip_t', 'glip-mini'])
def test_layer_groups_hold_every_parameter_once(request, which):
    model = build_model(load_config(which)) if which == 'glip-mini' \
        else request.getfixturevalue(which)
    held = [id(p) for parts in model.layer_groups().values() for part in parts
            for p in part.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in model.parameters()}


def test_the_first_two_parts_of_a_backbone_are_stem_and_first_stage(glip_t):
    stem, first, *rest = glip_t.layer_groups()['backbone']
    assert stem is glip_t.backbone.patch_embed
    assert first[0] is glip_t.backbone.stages[0] and len(rest) == 3
    mini = build_model(load_config('glip-mini'))
    stem, first, *rest = mini.layer_groups()['backbone']
    assert [type(layer).__name__ for layer in stem] == ['Conv2d', 'BatchNorm2d', 'ReLU',
                                                        'MaxPool2d']
    assert first[0] is mini.backbone.model['layer1'] and len(rest) == 3


@pytest.mark.parametrize('name', sorted(STRATEGIES))
def test_each_parameter_trains_in_one_group_or_is_frozen(model, name):
    strategy, groups = put_on(model, name)
    trained = [id(p) for group in groups for _, p in group.parameters()]
    assert len(trained) == len(set(trained))
    assert {id(p) for p in model.parameters() if p.requires_grad} == set(trained)
    assert bool(trained) == (name != 'manual')


@pytest.mark.parametrize(('name', 'count'), [
    ('head', 198_919), ('prompt', 768_000), ('text', 108_891_648)])
def test_trained_parameters_of_glip_t(glip_t, name, count):
    """198,919 and 768,000 are the official figures; BERT-base without pooler has 108,891,648."""
    encoder = glip_t.text_encoder
    try:
        _, groups = put_on(glip_t, name)
        assert sum(p.numel() for p in glip_t.parameters() if p.requires_grad) == count
        assert f'{count:,}' in describe(glip_t, groups).splitlines()[-1]
    finally:
        glip_t.text_encoder = encoder


def test_full_freezes_patch_embedding_and_first_stage(glip_t):
    put_on(glip_t, 'full')
    frozen = {name for name, p in glip_t.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in glip_t.named_parameters()
                      if name.startswith(('backbone.patch_embed.', 'backbone.stages.0.'))}


@pytest.mark.parametrize('name', sorted(STRATEGIES))
def test_frozen_parts_stay_in_evaluation_mode(model, name):
    put_on(model, name)
    model.train()
    for part_name, part in model.named_modules():
        parameters = list(part.parameters())
        if parameters and not any(p.requires_grad for p in parameters) and part is not model:
            assert not any(m.training for m in part.modules()), part_name
        if parameters and all(p.requires_grad for p in parameters) \
                and not any(isinstance(m, _BatchNorm) for m in part.modules()):
            assert part.training, part_name
    model.eval()
    assert not any(m.training for m in model.modules())


def test_batch_statistics_do_not_move():
    mini = build_model(load_config('glip-mini'))
    put_on(mini, 'full')
    mini.train()
    norms = [m for m in mini.modules() if isinstance(m, _BatchNorm)]
    assert norms and not any(m.training for m in norms)
    assert any(p.requires_grad for m in norms for p in m.parameters())


@pytest.mark.parametrize('name', TRAINED)
def test_gradients_are_where_they_should_be(model, name):
    """One step moves every trained group and nothing else."""
    before_adding = {k: v.clone() for k, v in model.state_dict().items()}
    strategy, groups = put_on(model, name)
    start = {k: v.detach().clone() for k, v in model.named_parameters()}
    model.train()
    losses = model.loss(*batch())
    sum(losses.values()).backward()
    for part_name, p in model.named_parameters():
        assert (p.grad is not None) == p.requires_grad, part_name
    for group in groups:
        assert any(p.grad.abs().sum() > 0 for _, p in group.parameters()), group.name
    with DefaultScope.overwrite_default_scope('glipkit'):
        wrapper = TransferOptimConstructor(
            dict(optimizer=dict(type='AdamW', lr=0.)),
            dict(strategy=dict(name=name)))(model)
    wrapper.optimizer.step()
    for part_name, p in model.named_parameters():
        if not p.requires_grad:
            assert torch.equal(p, start[part_name]), part_name
    after = model.state_dict()
    for key in set(before_adding) & set(after) - {k for k, p in model.named_parameters()
                                                  if p.requires_grad}:
        assert torch.equal(before_adding[key], after[key]), key


def test_rates_of_the_optimiser(model):
    """Twice the rate and no decay for biases; the text encoder at a tenth."""
    strategy, _ = put_on(model, 'full')
    with DefaultScope.overwrite_default_scope('glipkit'):
        optimizer = TransferOptimConstructor(
            dict(optimizer=dict(type='AdamW', lr=7.)),
            dict(strategy=dict(name='full', lr=1e-3, text_lr=1e-4)))(model).optimizer
    rates = {id(p): (group['lr'], group['weight_decay']) for group in optimizer.param_groups
             for p in group['params']}
    alignment, encoder = model.bbox_head.alignment, model.text_encoder
    assert rates[id(alignment.text_projection.weight)] == (1e-3, 0.05)
    assert rates[id(alignment.text_projection.bias)] == (2e-3, 0.)
    assert rates[id(alignment.bias_lang)] == (2e-3, 0.)
    assert rates[id(alignment.log_scale)] == (1e-3, 0.05)
    assert rates[id(encoder.embeddings.word_embeddings.weight)] == (1e-4, 0.05)
    assert rates[id(encoder.encoder['layer'][0].output.dense.bias)] == (2e-4, 0.)
    assert len(rates) == sum(p.requires_grad for p in model.parameters())


def test_constructor_wants_a_strategy(model):
    with pytest.raises(ValueError, match='strategy'):
        TransferOptimConstructor(dict(optimizer=dict(type='AdamW')), dict(lr_mults={}))(model)


# -- prompt -----------------------------------------------------------------------------------


def test_an_untrained_prompt_changes_nothing(model):
    images, samples = batch()
    model.eval()
    before = model(images, samples, mode='tensor')
    put_on(model, 'prompt')
    model.eval()
    with torch.no_grad():
        after = model(images, samples, mode='tensor')
    for a, b in zip(before['token_logits'], after['token_logits']):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_row_j_of_the_table_is_added_to_token_j(model):
    tokens = model.text_encoder.tokenizer(['red circle. star'], 40)
    hidden = model.text_encoder.eval()(tokens).hidden
    put_on(model, 'prompt')
    with torch.no_grad():
        model.text_encoder.offset.copy_(
            torch.arange(1000.)[:, None].expand_as(model.text_encoder.offset))
    got = model.text_encoder(tokens).hidden
    expected = hidden + torch.arange(float(tokens.ids.shape[1]))[None, :, None]
    torch.testing.assert_close(got, expected)


def test_prompts_of_several_chunks_have_rows_of_their_own(model):
    prompts = [class_prompt(['red circle', 'star']), class_prompt(['blue cross'], start=2)]
    strategy = build_strategy(dict(name='prompt', rows=5))
    strategy.add(model, prompts)
    lengths = [model.text_encoder.tokenizer.length(p.caption) for p in prompts]
    assert model.text_encoder.lengths == lengths
    assert len(model.text_encoder.offset) == sum(lengths)  # more than the 5 that were asked for
    tokens = model.text_encoder.tokenizer([prompts[1].caption, prompts[0].caption], 40)
    with torch.no_grad():
        model.text_encoder.offset[lengths[0]:] += 1.
        both, first = model.text_encoder(tokens), strategy.state(model)['prompt.0']
    torch.testing.assert_close(both.hidden[1], first)
    assert (both.hidden[0, lengths[1]:] == 0).all()


def test_a_learned_prompt_refuses_other_words(model):
    put_on(model, 'prompt')
    with pytest.raises(UserError, match='another prompt'):
        model.text_encoder(model.text_encoder.tokenizer(['dog'], 40))


# -- LoRA -------------------------------------------------------------------------------------


def test_untrained_lora_changes_nothing_and_trained_is_w_plus_scaled_product(model):
    images, samples = batch()
    model.eval()
    with torch.no_grad():
        before = model(images, samples, mode='tensor')['token_logits']
    linear = model.bbox_head.tower[0].fusion.v_proj
    weight = linear.weight.detach().clone()
    put_on(model, 'lora', rank=2, alpha=4.)
    model.eval()
    with torch.no_grad():
        after = model(images, samples, mode='tensor')['token_logits']
        assert all(torch.equal(a, b) for a, b in zip(before, after))
        change = linear.parametrizations.weight[0]
        change.up.fill_(1.)
        # alpha / rank = 2, each entry is the sum of a column of `down`.
        torch.testing.assert_close(linear.weight, weight + 2 * change.down.sum(0))
        moved = model(images, samples, mode='tensor')['token_logits']
    assert not torch.equal(before[0], moved[0])


def test_low_rank_by_hand():
    down, up = torch.tensor([[1., 2.]]), torch.tensor([[3.], [4.]])
    assert add_low_rank(torch.eye(2), down, up, 0.5).tolist() == [[2.5, 3.], [2., 5.]]


def test_lora_reaches_attention_of_text_tower_fusion_and_swin(tiny):
    model = copy.deepcopy(tiny)
    strategy, groups = put_on(model, 'lora', rank=3)
    names = {name.rpartition('.')[0] for name in strategy.state(model)}
    assert {group.name for group in groups} == {
        'backbone, rank 3', 'text_encoder, rank 3', 'tower, rank 3', 'alignment, rank 3'}
    assert 'bbox_head.alignment.text_projection' in names
    assert 'bbox_head.tower.0.fusion.out_l_proj' in names
    assert 'text_encoder.encoder.layer.0.attention.output.dense' in names
    assert any('attn.w_msa.qkv' in name for name in names)
    assert not any('intermediate' in name or 'ffn' in name for name in names)


# -- state, overrides, interpolation ----------------------------------------------------------


@pytest.mark.parametrize('name', TRAINED)
def test_interpolation_ends_at_both_models(model, name):
    """alpha 0 is the base model's weight, alpha 1 the tuned one's."""
    base = copy.deepcopy(model)
    strategy, _ = put_on(model, name)
    before = strategy.state(model)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p))
    after = strategy.state(model)
    prompts = [class_prompt(list(NAMES))]
    plain = strategy.overrides(base, before, prompts)
    for alpha, wanted in ((0., plain), (1., strategy.overrides(base, after, prompts))):
        got = strategy.overrides(base, strategy.interpolate(before, after, alpha), prompts)
        assert got.tensors.keys() == wanted.tensors.keys()
        for key in wanted.tensors:
            torch.testing.assert_close(got.tensors[key], wanted.tensors[key])
        for key in wanted.modules:
            torch.testing.assert_close(got.modules[key].hidden, wanted.modules[key].hidden)
    for key, value in plain.tensors.items():
        assert torch.equal(value, base.get_parameter(key))


@pytest.mark.parametrize(('name', 'state'), [
    ('head', {'bbox_head.nothing': torch.zeros(1)}),
    ('head', {'bbox_head.alignment.bias0': torch.zeros(2)}),
    ('lora', {'bbox_head.nothing.up': torch.zeros(1, 1)}),
    ('prompt', {'prompt.0': torch.zeros(3, 3)}), ('prompt', {}),
])
def test_a_state_of_another_model_is_refused(tiny, name, state):
    with pytest.raises(UserError, match='made with'):
        build_strategy(dict(name=name)).overrides(tiny, state, [class_prompt(list(NAMES))])


@pytest.mark.parametrize(('settings', 'said'), [
    (dict(name='magic'), 'magic'), (dict(), 'None'), (dict(name='head', rank=3), 'rank')])
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        build_strategy(settings)
