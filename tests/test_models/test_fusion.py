"""Cross attention against a plain form written from the paper's equations."""
import pytest
import torch

from glipkit.models.fusion.attention_maps import attend_at_once
from glipkit.models.fusion.bi_attention import BiAttention
from glipkit.text.structures import TextFeatures


def layer(dropout: float = 0.0) -> BiAttention:
    torch.manual_seed(0)
    fusion = BiAttention(visual_dim=12, text_dim=10, embed_dim=16, num_heads=4, dropout=dropout)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return fusion.double()


def plain_form(fusion: BiAttention, v, t, mask):
    """Wide projections, one similarity matrix per head, two softmaxes (equations 4 to 6)."""
    v, t = fusion.layer_norm_v(v), fusion.layer_norm_l(t)
    heads = lambda x: x.unflatten(-1, (4, -1)).transpose(1, 2)  # noqa: E731
    scores = heads(fusion.v_proj(v)) / 2 @ heads(fusion.l_proj(t)).transpose(2, 3)
    to_text = scores.masked_fill(~mask[:, None, None], float('-inf')).softmax(-1)
    to_visual = scores.transpose(2, 3).softmax(-1)
    join = lambda x: x.transpose(1, 2).flatten(2)  # noqa: E731
    delta_v = fusion.out_v_proj(join(to_text @ heads(fusion.values_l_proj(t))))
    delta_l = fusion.out_l_proj(join(to_visual @ heads(fusion.values_v_proj(v))))
    return v + fusion.gamma_v * delta_v, t + fusion.gamma_l * delta_l


def inputs():
    torch.manual_seed(1)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    return (torch.randn(2, 7, 12, dtype=torch.float64, requires_grad=True),
            torch.randn(2, 5, 10, dtype=torch.float64, requires_grad=True), mask)


def test_folded_projections_equal_the_plain_form():
    fusion, (v, t, mask) = layer(), inputs()
    ours, theirs = fusion.attend(v, t, mask), plain_form(fusion, v, t, mask)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)
    wanted = (v, t, *fusion.parameters())
    weights = [torch.randn_like(x) for x in ours]
    loss = lambda out: sum((o * w).sum() for o, w in zip(out, weights))  # noqa: E731
    for a, b in zip(torch.autograd.grad(loss(ours), wanted),
                    torch.autograd.grad(loss(theirs), wanted)):
        torch.testing.assert_close(a, b)


def test_padded_tokens_change_no_real_output():
    fusion, (v, t, mask) = layer(), inputs()
    whole = fusion.attend(v[1:], t[1:], mask[1:])
    short = fusion.attend(v[1:], t[1:, :3], mask[1:, :3])
    torch.testing.assert_close(whole[0], short[0])
    torch.testing.assert_close(whole[1][:, :3], short[1])


def test_zero_gamma_returns_the_normalised_inputs():
    fusion, (v, t, mask) = layer(), inputs()
    torch.nn.init.zeros_(fusion.gamma_v)
    torch.nn.init.zeros_(fusion.gamma_l)
    visual, text = fusion.attend(v, t, mask)
    torch.testing.assert_close(visual, fusion.layer_norm_v(v))
    torch.testing.assert_close(text, fusion.layer_norm_l(t))


def test_levels_come_back_in_their_shapes():
    fusion = layer().float()
    levels = [torch.randn(2, 12, 3, 4), torch.randn(2, 12, 2, 2)]
    text = TextFeatures(torch.randn(2, 5, 10), torch.ones(2, 5, dtype=torch.bool))
    maps, fused = fusion(levels, text)
    assert [m.shape for m in maps] == [level.shape for level in levels]
    flat = torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)
    visual, hidden = fusion.attend(flat, text.hidden, text.mask)
    torch.testing.assert_close(maps[1][:, :, 0, 1], visual[:, 13])
    torch.testing.assert_close(fused.hidden, hidden)


def test_dropout_keeps_the_mean():
    fusion, (v, t, mask) = layer(dropout=0.3), inputs()
    expected = plain_form(fusion.eval(), v, t, mask)
    fusion.train()
    torch.manual_seed(0)
    with torch.no_grad():
        draws = [fusion.attend(v, t, mask) for _ in range(600)]
    for i in range(2):
        mean = torch.stack([d[i] for d in draws]).mean(0)
        real = mask[..., None] if i else torch.ones_like(mean, dtype=torch.bool)
        assert ((mean - expected[i]).abs() * real).max() < 0.33


def test_wrong_head_count():
    with pytest.raises(ValueError, match='multiple of num_heads'):
        BiAttention(embed_dim=10, num_heads=4)


def test_whole_maps_in_half_precision_stay_near_those_in_float32():
    torch.manual_seed(0)
    visual, keys, values = torch.randn(1, 60, 8), torch.randn(1, 8, 10), torch.randn(1, 10, 8)
    mask = torch.tensor([[True, True, True, False, True]])
    arguments = [visual, keys, torch.randn(1, 10), values, torch.zeros(8)]
    with torch.no_grad():
        full = attend_at_once(*arguments, mask, 2, 50000., 0.)
        half = attend_at_once(*(x.bfloat16() for x in arguments), mask, 2, 50000., 0.)
    for a, b in zip(half, full):
        assert (a.float() - b).abs().max() < .03 * b.abs().max()
    wanted = full[0] - visual  # a masked token gives nothing to any position
    changed = values.index_fill(1, torch.tensor([3, 8]), 1e3)
    found = attend_at_once(*arguments[:3], changed, arguments[4], mask, 2, 50000., 0.)[0] - visual
    torch.testing.assert_close(found, wanted)
