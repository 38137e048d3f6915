"""The image transformers of CLIP: the official numbers, and what must hold for any weights."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.common.rotary import rotary_tables
from glipkit.errors import UserError
from glipkit.models.alignment.region_pooling import cell_masks, pool_boxes, pool_masks
from glipkit.models.backbones.clip_vit import ClipViT
from glipkit.models.backbones.eva_vit import EvaViT
from glipkit.models.backbones.vision_transformer import VisionTransformer, resize_positions
from glipkit.text.encoders.clip_text import ClipTextEncoder
from tests.clipself_golden import case, images, official_state

TINY = dict(image_size=64, width=128, layers=3, embed_dim=64)
GOLDEN = [('eva_tiny', EvaViT, TINY), ('openai_tiny', ClipViT, TINY),
          pytest.param('eva_b16', EvaViT, {}, marks=pytest.mark.slow),
          pytest.param('openai_b16', ClipViT, {}, marks=pytest.mark.slow)]
SMALL = dict(image_size=32, patch=8, width=32, layers=2, heads=2, embed_dim=12)


def close(found: Tensor, wanted: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, wanted, atol=atol, rtol=0)


@pytest.fixture(params=[EvaViT, ClipViT], ids=['eva', 'openai'])
def tower(request) -> VisionTransformer:
    torch.manual_seed(0)
    built = request.param(**SMALL).eval()
    for p in built.parameters():  # also those that begin at 0 or 1
        nn.init.normal_(p, mean=float(p.dim() == 1), std=0.3)
    return built


@pytest.mark.parametrize('name, kind, sizes', GOLDEN)
def test_official_features(name, kind, sizes):
    meta, wanted = case(f'{name}_features')
    tower = kind(**sizes).eval()
    tower.load_state_dict(official_state(name, 'visual.'))
    seed, native, other = meta['image_seed'], meta['native'], meta['other']
    x, y = images(seed, (2, 3, native, native)), images(seed + 1, (2, 3, other, other))
    with torch.no_grad():
        close(tower.embed_image(x), wanted['image_embed'], 1e-4)
        close(tower.embed_image(y[:1]), wanted['image_embed_other'], 1e-4)
        close(tower.dense_map(x[:1])[:, ::meta['dense_native_channel_stride']],
              wanted['dense_native'])
        dense = tower.dense_map(y)
        step = meta['dense_other_channel_stride']
        close(dense[:1, ::step], wanted['dense_other'])
        side = torch.tensor(dense.shape[-2:]).flip(0).repeat(2)
        boxes = [wanted[f'boxes_{i}'] * side for i in range(2)]
        close(torch.cat(pool_boxes(dense, boxes)), wanted['roi_normalized'])
        close(torch.cat(pool_masks(dense, [wanted['masks_0'], wanted['masks_1']])),
              wanted['mask_normalized'])
        if kind is ClipViT:
            rectangle = images(seed + 2, (1, 3, native // 2, other))
            close(tower.dense_map(rectangle)[:, ::step], wanted['dense_rect'])


@pytest.mark.parametrize('name, kind, sizes', GOLDEN[:2])
def test_official_tables_of_places(name, kind, sizes):
    meta, wanted = case(f'{name}_features')
    table = official_state(name, 'visual.')['pos_embed' if kind is EvaViT else
                                            'positional_embedding'].reshape(17, 128)
    rows, columns = meta['pos_other_stride']
    close(resize_positions(table, (4, 4), (6, 6))[::rows, ::columns], wanted['pos_other'])
    if kind is EvaViT:
        for side, which in ((4, 'native'), (6, 'other')):
            for found, part in zip(rotary_tables((side, side), 64), ('cos', 'sin')):
                close(found[::5, ::3], wanted[f'rope_{part}_{which}'], 1e-6)


@pytest.mark.parametrize('name, prefix, activation', [
    ('eva_tiny', 'text.', 'gelu'), ('openai_tiny', '', 'quick_gelu')])
def test_official_texts(name, prefix, activation):
    meta, wanted = case(f'{name}_features')
    encoder = ClipTextEncoder(width=64, heads=2, layers=2, embed_dim=64, activation=activation,
                              tokenizer=dict(type='ClipBpeTokenizer', dialect='open_clip')).eval()
    encoder.load_state_dict({key: tensor for key, tensor in official_state(name, prefix).items()
                             if not key.startswith(('visual.', 'logit_scale'))})
    tokens = encoder.tokenizer(meta['strings'], 77, truncate=True)
    assert torch.equal(F.pad(tokens.ids, (0, 77 - tokens.ids.shape[1])), wanted['tokens'].long())
    with torch.no_grad():
        close(encoder(tokens).hidden[:, 0], wanted['text'], 1e-4)


def test_the_value_path_is_attention_of_each_token_to_itself(tower):
    """B1 of the fact sheet."""
    tokens = torch.randn(2, 1, 32)  # a lone token has nobody else to see
    places = tower.places((1, 1), tokens.device)
    last = tower.layers[-1]
    with torch.no_grad():
        if places is not None:  # the class token is never turned
            places = tuple(table[:0] for table in places)
        close(last.values(tokens), tower.apply_layer(last, tokens, places))


@pytest.mark.parametrize('shape', [(32, 32), (48, 48), (16, 40), (8, 8)])
def test_every_patch_has_an_embedding_of_length_one(tower, shape):
    with torch.no_grad():
        dense = tower.dense_map(torch.randn(2, 3, *shape))
    assert dense.shape == (2, 12, shape[0] // 8, shape[1] // 8)
    close(dense.norm(dim=1), torch.ones(2, *dense.shape[-2:]))


def test_tables_of_any_grid():
    cosines, sines = rotary_tables((2, 3), 8)
    assert cosines.shape == sines.shape == (6, 8)
    close(cosines[:, 0], (torch.tensor([0, 0, 0, 8, 8, 8]).float()).cos())  # row, rate 1
    close(sines[:, 4], (torch.tensor([0, 1, 2, 0, 1, 2]) * 16 / 3).sin())  # column, rate 1
    close(sines[:, 6], (torch.tensor([0, 1, 2, 0, 1, 2]) * 0.16 / 3).sin())  # rate 1 / 100
    for square, first in zip(rotary_tables((4, 4), 8), rotary_tables((4, 2), 8)):
        close(square[:, :4][::4], first[:, :4][::2])  # rows do not depend on the columns


def test_a_table_of_the_own_grid_and_the_class_token_stay():
    table = torch.randn(17, 6)
    assert resize_positions(table, (4, 4), (4, 4)) is table
    assert torch.equal(resize_positions(table, (4, 4), (3, 7))[0], table[0])
    assert resize_positions(table, (4, 4), (3, 7)).shape == (22, 6)


def test_taps_are_the_layers_up_to_the_value_path(tower):
    x = torch.randn(1, 3, 32, 40)
    with torch.no_grad():
        first, last = tower.tap_features(x, [0, 1])
        assert first.shape == last.shape == (1, 32, 4, 5)
        rows = tower.project(last.flatten(2).transpose(1, 2))
        close(F.normalize(rows, dim=-1).transpose(1, 2).unflatten(2, (4, 5)), tower.dense_map(x))
        assert len(tower.tap_features(x, [1])) == 1
    with pytest.raises(UserError, match='layers from 0 to 1'):
        tower.tap_features(x, [2])


def test_the_last_layer_has_no_gradient_of_queries_and_keys(tower):
    tower.dense_map(torch.randn(1, 3, 32, 32))[:, 0].sum().backward()
    attention = tower.layers[-1].attn
    if isinstance(tower, EvaViT):
        assert attention.q_proj.weight.grad is attention.q_bias.grad is None
        assert attention.k_proj.weight.grad is None
        assert attention.v_proj.weight.grad.abs().sum() > 0
    else:
        grad = attention.in_proj_weight.grad
        assert not grad[:64].any() and grad[64:].abs().sum() > 0


def test_groups_that_are_frozen_and_numbers_that_do_not_fit():
    tower = EvaViT(**SMALL, frozen_stages=2)
    assert [any(p.requires_grad for p in group.parameters()) for group in tower.layer_groups()] \
        == [False, False, True, True]
    for wrong, message in ((dict(frozen_stages=9), 'frozen_stages from 0 to 4'),
                           (dict(heads=3), 'heads divide'), (dict(image_size=30), 'patches fill'),
                           (dict(width=12, heads=2), 'multiple of 4')):
        with pytest.raises(UserError, match=message):
            EvaViT(**SMALL | wrong)
    with pytest.raises(UserError, match='an activation'):
        ClipViT(**SMALL, activation='relu')
    with pytest.raises(UserError, match='at least 8 pixels'):
        tower.dense_map(torch.zeros(1, 3, 7, 32))


def test_a_constant_map_gives_its_vector_to_any_region():
    """B3 of the fact sheet."""
    vector = F.normalize(torch.arange(1., 6.), dim=0)
    dense = vector[None, :, None, None].expand(2, 5, 4, 6).contiguous()
    found = pool_boxes(dense, [torch.tensor([[8., 8, 40, 30], [0, 0, 96, 64]]), torch.zeros(0, 4)],
                       16)
    close(found[0], vector.expand(2, 5))
    assert found[1].shape == (0, 5)
    masks = torch.zeros(2, 4, 6, dtype=torch.bool)
    masks[0, 1:3] = True
    inside, empty = pool_masks(dense[:1], [masks])[0]
    close(inside, vector)
    assert not empty.any()


def test_a_region_is_the_mean_of_unit_vectors():
    dense = F.normalize(torch.randn(1, 3, 2, 2), dim=1)
    found, = pool_boxes(dense, [torch.tensor([[0., 0, 1, 1]])])
    close(found, dense[:, :, 0, 0])
    masks = torch.tensor([[[True, False], [True, False]]])
    close(pool_masks(dense, [masks])[0], F.normalize(dense[0, :, :, 0].sum(1), dim=0)[None])
    with pytest.raises(UserError, match='2 x 2 cells'):
        pool_masks(dense, [torch.zeros(1, 3, 2)])
    with pytest.raises(UserError, match='masks of 1 images'):
        pool_masks(dense, [])


def test_pixels_become_cells():
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    masks[0, 8, 8] = True  # one pixel of the cell (1, 1)
    for how, cells in (('coverage', 1), ('bicubic', 0)):
        assert cell_masks(masks, (4, 4), how).sum() == cells
    assert cell_masks(masks, (4, 4), 'bicubic_antialias').sum() > 1
    assert cell_masks(masks[:0], (4, 4)).shape == (0, 4, 4)
    with pytest.raises(UserError, match='a way to resize masks'):
        cell_masks(masks, (4, 4), 'nearest')
