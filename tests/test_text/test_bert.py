"""Our BERT against Hugging Face's, and what a detector relies on beyond that."""
from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from glipkit.errors import UserError
from glipkit.registry import MODELS
from glipkit.text.encoders import BertEncoder, BertLayer
from glipkit.text.structures import TextFeatures, TextTokens

SIZES = dict(vocab_size=50, hidden_size=32, num_layers=3, num_heads=4, intermediate_size=64,
             max_positions=24)


def make_tokens(lengths: list[int], width: int | None = None, seed: int = 0) -> TextTokens:
    generator = torch.Generator().manual_seed(seed)
    width = width or max(lengths)
    ids = torch.randint(1, 50, (len(lengths), width), generator=generator)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return TextTokens(ids * mask, mask, [[(0, 0)] * n for n in lengths])


def enlarge(module: nn.Module, seed: int = 1) -> nn.Module:
    """Weights large enough that every part of the network shows in its output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * .3)
    return module


@pytest.fixture(scope='module')
def reference() -> BertModel:
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=3,
                        num_attention_heads=4, intermediate_size=64, max_position_embeddings=24)
    return enlarge(BertModel(config, add_pooling_layer=False)).eval()


@pytest.fixture
def encoder(reference) -> BertEncoder:
    encoder = BertEncoder(**SIZES).eval()
    encoder.load_state_dict(reference.state_dict())  # strict: same names, same shapes
    return encoder


def test_equals_hugging_face_with_padding(encoder, reference):
    tokens = make_tokens([9, 3, 20, 2], width=24)
    with torch.no_grad():
        ours = encoder(tokens)
        theirs = reference(tokens.ids, attention_mask=tokens.mask.long()).last_hidden_state
    assert isinstance(ours, TextFeatures) and ours.hidden.shape == (4, 24, 32)
    torch.testing.assert_close(ours.hidden[tokens.mask], theirs[tokens.mask], atol=1e-5, rtol=0)


def test_gradients_equal_hugging_face(encoder, reference):
    tokens = make_tokens([9, 3, 6])
    weight = torch.randn(18, 32, generator=torch.Generator().manual_seed(3))
    (encoder(tokens).hidden[tokens.mask] * weight).sum().backward()
    theirs = reference(tokens.ids, attention_mask=tokens.mask.long()).last_hidden_state
    reference.zero_grad()
    (theirs[tokens.mask] * weight).sum().backward()
    expected = dict(reference.named_parameters())
    for name, p in encoder.named_parameters():
        torch.testing.assert_close(p.grad, expected[name].grad, atol=2e-4, rtol=1e-4)


def test_layer_equals_hugging_face_layer(reference):
    theirs = reference.encoder.layer[0]
    ours = BertLayer(32, 4, 64).eval()
    ours.load_state_dict(theirs.state_dict())
    hidden = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    bias = torch.zeros(2, 1, 1, 7).masked_fill(~mask[:, None, None], torch.finfo().min)
    with torch.no_grad():
        expected = theirs(hidden, bias)
        expected = expected[0] if isinstance(expected, tuple) else expected
        torch.testing.assert_close(ours(hidden, mask)[mask], expected[mask], atol=1e-5, rtol=0)


def test_clamped_layer_equals_the_plain_one_in_range():
    plain, clamped = BertLayer(32, 4, 64).eval(), BertLayer(32, 4, 64, clamp=50000.).eval()
    clamped.load_state_dict(plain.state_dict())
    hidden = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    torch.testing.assert_close(clamped(hidden, mask)[mask], plain(hidden, mask)[mask],
                               atol=1e-5, rtol=0)


@pytest.mark.parametrize('name', ['intermediate.dense', 'output.dense', 'output.LayerNorm'])
def test_clamp_bounds_each_place(name):
    """One huge bias at a time: the layer's output must be as if it were the bound."""
    bound = 50.

    def run(value: float, clamp: float | None) -> torch.Tensor:
        layer = BertLayer(8, 2, 16, clamp=clamp).eval()
        enlarge(layer)
        with torch.no_grad():
            layer.output.dense.weight.mul_(1e-3)  # keeps the later clamps out of play
            layer.get_submodule(name).bias.fill_(value)
            return layer(torch.ones(1, 3, 8), torch.ones(1, 3, dtype=torch.bool))

    torch.testing.assert_close(run(1e30, bound), run(200., bound))
    assert run(1e30, bound).abs().max() <= bound
    assert not torch.allclose(run(1e30, None), run(200., None))


def test_clamp_bounds_attention_scores():
    """Scores far beyond the bound must act as the bound, and padded keys stay unseen."""
    hidden = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([[True, True, True, False]])

    def run(factor: float, clamp: float | None) -> torch.Tensor:
        layer = enlarge(BertLayer(8, 2, 16, clamp=clamp)).eval()
        with torch.no_grad():
            layer.attention['self'].query.weight.mul_(factor)
            layer.attention['self'].query.bias.zero_()
            return layer(hidden, mask)[mask]

    torch.testing.assert_close(run(1e8, 2.), run(1e12, 2.))
    assert not torch.allclose(run(1e8, None), run(1e8, 2.))
    before = run(1e8, 2.)
    hidden[0, 3] = 1e3
    torch.testing.assert_close(run(1e8, 2.), before)


def test_real_rows_do_not_depend_on_padding_or_neighbours(encoder):
    alone, padded = make_tokens([5]), make_tokens([5, 24], width=24)
    padded.ids[0, :5] = alone.ids[0]
    padded.ids[0, 5:] = 7  # not even on what the padding holds
    with torch.no_grad():
        torch.testing.assert_close(encoder(padded).hidden[0, :5], encoder(alone).hidden[0],
                                   atol=1e-5, rtol=0)


def test_embedded_is_zero_on_padding(encoder):
    features = encoder(make_tokens([3, 6]))
    assert (features.embedded[0, 3:] == 0).all()
    assert torch.equal(features.embedded[0, :3], features.hidden[0, :3])


def test_bfloat16_autocast(encoder):
    tokens = make_tokens([9, 3])
    layer = BertLayer(32, 4, 64, clamp=50000.)
    with torch.autocast('cpu', torch.bfloat16):
        hidden = encoder(tokens).hidden
        out = layer(hidden, tokens.mask)
    out.float().sum().backward()
    full = encoder(tokens).hidden
    assert torch.isfinite(out[tokens.mask]).all()
    error = (hidden.float() - full)[tokens.mask].norm() / full[tokens.mask].norm()
    assert error < .05


def test_checkpointing_changes_nothing_but_memory(reference):
    tokens, results = make_tokens([9, 3]), []
    for with_cp in (False, True):
        encoder = BertEncoder(**SIZES, with_cp=with_cp).train()
        encoder.load_state_dict(reference.state_dict())
        torch.manual_seed(0)  # the same dropout
        hidden = encoder(tokens).hidden
        hidden[tokens.mask].square().sum().backward()
        results.append((hidden, encoder.encoder['layer'][0].intermediate.dense.weight.grad))
    torch.testing.assert_close(results[0], results[1])


def test_dropout_only_in_training(encoder):
    tokens = make_tokens([9])
    assert torch.equal(encoder(tokens).hidden, encoder(tokens).hidden)
    encoder.train()
    assert not torch.equal(encoder(tokens).hidden, encoder(tokens).hidden)


def test_initial_weights_are_berts():
    torch.manual_seed(0)
    encoder = BertEncoder(500, 64, 2, 4, 128, 40)
    weight = encoder.embeddings.word_embeddings.weight.detach()
    assert float(weight.std()) == pytest.approx(.02, rel=.05) and (weight[0] == 0).all()
    dense = encoder.encoder['layer'][1].output.dense
    assert float(dense.weight.detach().std()) == pytest.approx(.02, rel=.05)
    assert (dense.bias == 0).all()


def test_defaults_are_bert_base_and_the_registry_finds_it():
    with torch.device('meta'):
        encoder = MODELS.build(dict(type='BertEncoder'))
    assert sum(p.numel() for p in encoder.parameters()) == 108_891_648


def test_layer_groups_cover_every_parameter_once(encoder):
    groups = encoder.layer_groups()
    grouped = [id(p) for group in groups for p in group.parameters()]
    assert len(groups) == 4 and groups[0] is encoder.embeddings
    assert sorted(grouped) == sorted(map(id, encoder.parameters()))


def test_bad_input(encoder):
    with pytest.raises(UserError, match='at most 24 tokens'):
        encoder(make_tokens([25]))
    with pytest.raises(UserError, match='heads'):
        BertLayer(30, 4)
