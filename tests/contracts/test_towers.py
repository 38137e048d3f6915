"""What every image tower and every text encoder answers."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from glipkit.apis.build import find_config, known_models, read_config
from glipkit.engine.transfer.learned_prompt import LearnedPrompt
from glipkit.models.backbones.towers import layer_groups
from glipkit.registry import MODELS, building_in
from glipkit.text.cache import TextFeatureCache
from glipkit.text.encoders.bert import BertEncoder
from glipkit.text.encoders.clip_text import ClipTextEncoder
from tests.toys.two_stage import SentenceEncoder

CAPTIONS = ['a red circle', 'two dogs play beside a house', 'star']
TOWERS = {str(cfg): cfg for cfg in (
    read_config(find_config(name)).model.backbone for name in known_models())}
TOWERS['mmdet'] = dict(type='mmdet.SwinTransformer', embed_dims=8, depths=[1, 1, 1],
                       num_heads=[1, 2, 4], window_size=4, out_indices=(1, 2), strides=(4, 2, 2))
TOWERS['clip'] = dict(type='glipkit.ClipResNet', layers=(1, 1, 1, 1), width=16, embed_dim=8,
                      heads=8, image_size=64)
TOWERS['eva'] = dict(type='glipkit.EvaViT', image_size=64, width=16, layers=2, embed_dim=8)
TOWERS['vit'] = dict(type='glipkit.ClipViT', image_size=64, width=16, layers=2, embed_dim=8)


@pytest.fixture(scope='module', params=list(TOWERS), ids=lambda text: text[:60])
def tower(request) -> nn.Module:
    with building_in(), pytest.MonkeyPatch.context() as patch:
        for name in ('constant_', 'kaiming_normal_', 'kaiming_uniform_', 'trunc_normal_'):
            patch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)  # numbers do not matter
        built = MODELS.build(TOWERS[request.param])
    built.eval()  # whose result is None in mmdet's Swin
    return built


def test_a_tower_gives_maps_of_falling_resolution(tower):
    with torch.no_grad():
        maps = tower(torch.zeros(2, 3, 64, 96))
    sizes = [tuple(m.shape[-2:]) for m in maps]
    strides = (tower.stride, ) if len(maps) == 1 else (8, 16, 32)[:len(maps)]  # one: for regions
    strides = getattr(tower, 'strides', strides)  # as those of timm say themselves
    assert maps and all(m.dim() == 4 and len(m) == 2 for m in maps)
    assert sizes == [(64 // stride, 96 // stride) for stride in strides]


def test_the_groups_of_a_tower_hold_every_parameter_once(tower):
    held = [id(p) for part in layer_groups(tower) for p in part.parameters()]
    assert len(layer_groups(tower)) >= 4  # a stem and three stages
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in tower.parameters()}


def bert() -> BertEncoder:
    return BertEncoder(hidden_size=16, num_layers=1, num_heads=2, intermediate_size=16)


def clip() -> ClipTextEncoder:
    return ClipTextEncoder(width=16, heads=2, layers=2, embed_dim=8)


def learned() -> LearnedPrompt:
    """In the place of an encoder that has read the captions."""
    torch.manual_seed(0)
    encoder = bert().eval()
    tokens = [encoder.tokenizer([caption]) for caption in CAPTIONS]
    with torch.no_grad():
        hidden = [encoder(one).hidden[0] for one in tokens]
    return LearnedPrompt([one.ids[0].tolist() for one in tokens], hidden, 0, encoder)


@pytest.fixture(params=[bert, clip, learned, SentenceEncoder], ids=lambda make: make.__name__)
def encoder(request) -> nn.Module:
    torch.manual_seed(0)
    return request.param().eval()


def test_an_encoder_brings_its_tokenizer_and_limits(encoder):
    tokens = encoder.tokenizer(CAPTIONS, encoder.max_positions)
    with torch.no_grad():
        features = encoder(tokens)
    width = tokens.ids.shape[1] if encoder.token_features else 1
    assert features.hidden.shape == (len(CAPTIONS), width, encoder.hidden_size)
    assert features.mask.shape == (len(CAPTIONS), width)
    if encoder.token_features:
        assert torch.equal(features.mask, tokens.mask)


def test_a_caption_does_not_see_its_neighbours(encoder):
    with torch.no_grad():
        together = encoder(encoder.tokenizer(CAPTIONS))
        for i, caption in enumerate(CAPTIONS):
            alone = encoder(encoder.tokenizer([caption]))
            torch.testing.assert_close(together.hidden[i][together.mask[i]],
                                       alone.hidden[0][alone.mask[0]], atol=1e-5, rtol=1e-5)


def test_remembered_features_are_fresh_ones(encoder):
    cache = TextFeatureCache()
    with torch.no_grad():
        for captions in (CAPTIONS, CAPTIONS[::-1], CAPTIONS[1:]):
            tokens = encoder.tokenizer(captions)
            fresh, kept = encoder(tokens), cache.encode(encoder, tokens)
            assert torch.equal(kept.mask, fresh.mask)
            torch.testing.assert_close(kept.hidden[kept.mask], fresh.hidden[fresh.mask],
                                       atol=1e-5, rtol=1e-5)


def test_the_groups_of_an_encoder_hold_every_parameter_once(encoder):
    held = [id(p) for part in encoder.layer_groups() for p in part.parameters()]
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in encoder.parameters()}


def test_an_equal_tokenizer_can_be_built_from_its_config(encoder):
    from glipkit.text.tokenizers import build_tokenizer
    again = build_tokenizer(encoder.tokenizer.config)
    assert type(again) is type(encoder.tokenizer)
    assert torch.equal(again(CAPTIONS).ids, encoder.tokenizer(CAPTIONS).ids)
