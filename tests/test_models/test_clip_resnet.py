"""CLIP's ResNets: the official outputs, regions, what is frozen."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from glipkit.errors import UserError
from glipkit.models.backbones.clip_resnet import ClipResNet
from glipkit.models.backbones.frozen_norm import FrozenBatchNorm, conv_norm
from glipkit.models.kernels.separable_roi_align import pool_regions, region_weights
from tests.region_clip_golden import (
    case,
    normalised,
    official_keys,
    official_state,
    picture,
    pictures,
)

MINI = dict(layers=(1, 1, 1, 1), width=16, embed_dim=64, heads=8, image_size=64)


def close(found, expected, tolerance=1e-4):
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def mini(seed=0, **changes) -> ClipResNet:
    torch.manual_seed(seed)
    model = ClipResNet(**{**MINI, **changes})
    for module in model.modules():
        if isinstance(module, (FrozenBatchNorm, nn.BatchNorm2d)):
            for name, scale, start in (('weight', .2, 1), ('bias', .2, 0),
                                       ('running_mean', .2, 0), ('running_var', .1, 1)):
                getattr(module, name).data.normal_(start, scale)
            module.running_var.data.abs_().add_(.1)
    return model.eval()


@pytest.fixture(scope='module')
def rn50() -> ClipResNet:
    model = ClipResNet('rn50')
    model.load_state_dict(official_state('pretrain_rn50', 'backbone.'))
    return model.eval()


@pytest.mark.slow
@torch.no_grad()
def test_maps_equal_the_official_ones(rn50):
    meta, arrays = case('backbone_rn50')
    square = meta['square']
    images = normalised([picture(seed, *square['size']) for seed in square['seeds']])
    close(images[:, :, ::8, ::8], arrays['square_input'], 1e-6)
    maps, = rn50(images)
    close(maps[:, ::32], arrays['square_res4'])
    last = rn50.region_maps(maps)
    close(last[:, ::32], arrays['square_res5'])
    close(rn50.pool_regions(last), arrays['square_embedding'])
    close(rn50.attnpool.plain(last), arrays['square_embedding'])
    maps, = rn50(normalised(pictures(meta['padded'])))  # sides that no stride divides
    close(maps[:, ::32], arrays['padded_res4'])
    close(rn50.region_maps(maps)[:, ::32], arrays['padded_res5'])


@pytest.mark.slow
@torch.no_grad()
def test_regions_equal_the_official_ones(rn50):
    meta, arrays = case('regions_rn50')
    images = normalised(pictures(meta))
    res4, = rn50(images)
    boxes = [arrays['boxes_0'], arrays['boxes_1']]
    maps, features = rn50.region_features(res4, boxes, at_once=10)
    close(features, arrays['features'])
    close(maps[::4, ::64], arrays['roi_layer4'])
    rois = torch.cat([torch.cat([one.new_full((len(one), 1), i), one], 1)
                      for i, one in enumerate(boxes)])
    pooled = rn50.pool_boxes(res4, rois)
    close(pooled[::4, ::64], arrays['pooled'])
    close(rn50.pool_regions(rn50.region_maps(pooled)), arrays['features'])
    height, width = images.shape[-2:]
    whole = torch.tensor([[0., 0, width, height]])
    close(rn50.region_features(res4, [whole, whole])[1], arrays['global_features'])


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['rn50', 'rn50x4'])
@torch.no_grad()
def test_a_box_around_the_image_is_the_image(variant):
    model = ClipResNet(variant)
    model.load_state_dict(official_state(f'pretrain_{variant}', 'backbone.'))
    model.eval()
    side = model.image_size
    assert (side, model.roi_size) == {'rn50': (224, 14), 'rn50x4': (288, 18)}[variant]
    images = normalised([picture(5, side, side)])
    _, features = model.region_features(model(images)[0], [torch.tensor([[0., 0, side, side]])])
    close(features, model.embed_image(images))


def test_keys_are_the_official_ones():
    with torch.device('meta'):
        for variant in ('rn50', 'rn50x4'):
            own = ClipResNet(variant).state_dict()
            official = {key.removeprefix('backbone.'): shape
                        for key, shape in official_keys(f'pretrain_{variant}').items()
                        if key.startswith('backbone.')}
            assert {key: list(value.shape) for key, value in own.items()} == official
        assert ClipResNet('rn101').state_dict()['layer3.22.conv1.weight'].shape[0] == 256


@torch.no_grad()
def test_the_mini_tower():
    model = mini()
    assert (model.roi_size, model.stride, model.embed_dim) == (4, 16, 64)
    maps, = model(torch.randn(2, 3, 70, 100))
    assert maps.shape == (2, 256, 4, 6)
    boxes = [torch.tensor([[0., 0, 40, 40], [-9, -30, 200, 20]]), torch.zeros(0, 4)]
    regions, features = model.region_features(maps, boxes)
    assert regions.shape == (2, 512, 2, 2) and features.shape == (2, 64)
    regions, features = model.region_features(maps, [boxes[1]] * 2)
    assert regions.shape == (0, 512, 2, 2) and features.shape == (0, 64)


def test_regions_in_parts_equal_regions_at_once():
    model = mini()
    maps = torch.randn(2, 256, 6, 8, requires_grad=True)
    torch.manual_seed(1)
    boxes = [torch.rand(n, 4) * 60 + torch.tensor([-20., -20, 40, 40]) for n in (5, 4)]
    results = []
    for at_once in (2, 100):
        regions, features = model.region_features(maps, boxes, at_once=at_once)
        gradient, = torch.autograd.grad(features.square().sum(), maps)
        results.append((regions, features, gradient))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    alone = model.region_features(maps[1:], boxes[1:])[1]
    close(alone, results[0][1][5:], 1e-5)


@torch.no_grad()
def test_the_short_way_to_regions_is_the_plain_one():
    model = mini()
    maps = torch.randn(2, 256, 6, 8)
    torch.manual_seed(1)
    ends = [(0., 0, 128, 96), (-300, -300, 500, 400), (10, 10, 12, 13), (50, 40, 50, 40),
            (60, 50, 40, 30), (-90, -90, -40, -40), (120, 90, 400, 300), (-14, -14, 20, 20)]
    boxes = [torch.tensor(ends), torch.rand(20, 4) * 90 + torch.tensor([-30., -30, 30, 30])]
    rois = torch.cat([torch.cat([one.new_full((len(one), 1), i), one], 1)
                      for i, one in enumerate(boxes)])
    pooled = model.pool_boxes(maps, rois)
    weights = region_weights(rois, model.roi_size, 1 / 16, (6, 8))
    close(pool_regions(maps, rois, *weights), pooled, 1e-5)
    plain = model.region_maps(pooled)
    close(model.region_maps_from_projected(maps, model.project_map(maps), rois), plain, 1e-5)
    found, features = model.region_features(maps, boxes, at_once=7)
    close(found, plain, 1e-5)
    close(features, model.pool_regions(plain), 1e-5)


def test_the_short_way_is_for_frozen_norms_without_gradients():
    maps = torch.randn(1, 256, 4, 4)
    assert not mini()._may_project(maps) and not mini(frozen_norm=False)._may_project(maps)
    with torch.no_grad():
        assert mini()._may_project(maps) and not mini(frozen_norm=False)._may_project(maps)
    assert mini(frozen_stages=6)._may_project(maps)


@pytest.mark.parametrize('size', [(2, 2), (3, 5)])
def test_the_short_attention_is_the_plain_one_with_its_gradients(size):
    pool = mini().attnpool
    maps = torch.randn(3, 512, *size, requires_grad=True)
    leaves = [maps, pool.q_proj.weight, pool.k_proj.weight, pool.v_proj.weight, pool.v_proj.bias,
              pool.positional_embedding]
    short, plain = pool(maps), pool.plain(maps)
    close(short, plain, 1e-5)
    for a, b in zip(torch.autograd.grad(short.square().sum(), leaves),
                    torch.autograd.grad(plain.square().sum(), leaves)):
        close(a, b, 1e-3)


def test_images_of_another_size_resize_the_positions():
    pool = mini().attnpool
    with torch.no_grad():
        pool.positional_embedding[1:] = torch.tensor([0., 1, 2, 3])[:, None]
    assert torch.equal(pool.positions(2, 2), pool.positional_embedding)
    # Cells of a 2 x 4 map: the middle columns lie a quarter and three quarters between.
    assert pool.positions(2, 4)[1:, 0].tolist() == [0, .25, .75, 1, 2, 2.25, 2.75, 3]
    assert mini().embed_image(torch.randn(1, 3, 64, 96)).shape == (1, 64)


def test_a_frozen_norm_is_batch_norm_in_evaluation():
    torch.manual_seed(0)
    plain, frozen = nn.BatchNorm2d(4), FrozenBatchNorm(4)
    for tensor in plain.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(4) + .5)
    frozen.load_state_dict(plain.state_dict())  # with a counter, which is dropped
    assert 'num_batches_tracked' in plain.state_dict()
    x, conv = torch.randn(2, 3, 5, 5), nn.Conv2d(3, 4, 3, 2, 1, bias=False)
    expected = plain.eval()(conv(x))
    close(frozen(conv(x)), expected, 1e-6)
    close(conv_norm(conv, frozen, x), expected, 1e-6)
    assert not list(frozen.parameters())


def test_what_is_frozen_stays_frozen():
    model = mini()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.embed_image(torch.randn(2, 3, 64, 64)).square().sum().backward()
    groups = model.layer_groups()
    assert all(p.grad is None for group in groups[:2] for p in group.parameters())
    assert all(p.grad is not None for group in groups[2:] for p in group.parameters())
    assert all(p.grad.any() for p in model.layer4.parameters())
    optimizer.step()
    after = model.state_dict()
    same = {k for k in after if torch.equal(after[k], before[k])}
    assert {k for k in after if 'bn' in k or 'downsample.1' in k or k.startswith('layer1')} <= same
    assert 'layer2.0.conv1.weight' not in same and 'attnpool.q_proj.weight' not in same


def test_norms_train_only_where_asked():
    model = mini(frozen_norm=False, frozen_stages=2).train()
    before = {k: v.clone() for k, v in model.state_dict().items() if 'running_mean' in k}
    model(torch.randn(2, 3, 64, 64))
    changed = {k.split('.')[0] for k, v in model.state_dict().items()
               if k in before and not torch.equal(v, before[k])}
    assert changed == {'layer2', 'layer3'}
    assert not ClipResNet(**MINI, frozen_norm=False).layer1[0].bn3.weight.any()
    frozen = ClipResNet(**MINI)
    frozen.load_state_dict(model.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        close(frozen.eval()(images)[0], model.eval()(images)[0], 1e-5)


def test_groups_hold_every_parameter_once():
    model = mini(frozen_norm=False)
    held = [id(p) for group in model.layer_groups() for p in group.parameters()]
    assert len(model.layer_groups()) == 6
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in model.parameters()}


@pytest.mark.parametrize('arguments', [
    dict(variant='rn51'), dict(frozen_stages=7), dict(frozen_stages=-1), dict(heads=7)])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(UserError):
        ClipResNet(**{**MINI, **arguments})
