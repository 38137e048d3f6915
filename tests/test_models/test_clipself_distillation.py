"""CLIPSelf's distillation: the official loss, gradients and step, and what trains."""
from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from torch import nn

from glipkit.checkpoints.interpolation import between
from glipkit.common.paths import config_root
from glipkit.data import registrations  # noqa: F401 - registers what pipelines name
from glipkit.errors import UserError
from glipkit.models.losses.region_crops import crop_distillation
from glipkit.models.pretrainers.clipself import ClipSelfPretrainer
from glipkit.registry import MODELS, TRANSFORMS
from tests import clipself_golden as golden

SIZES = dict(image_size=64, patch=16, width=128, layers=3, heads=2, embed_dim=64)
TOWERS = {'eva_tiny': dict(type='glipkit.EvaViT', **SIZES),
          'openai_tiny': dict(type='glipkit.ClipViT', **SIZES)}
PREPROCESSOR = dict(
    type='mmdet.DetDataPreprocessor', mean=[122.7709383, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305], bgr_to_rgb=True)
PIXELS = MODELS.build(PREPROCESSOR)
SMALL = dict(type='glipkit.EvaViT', image_size=32, patch=16, width=16, layers=3, heads=1,
             embed_dim=8)


def official(name: str, **kwargs) -> tuple[ClipSelfPretrainer, dict, torch.Tensor, list]:
    """Model with the case's weights, meta data, images and samples."""
    meta, tensors = golden.case(f'{name}_train_n3')
    model = ClipSelfPretrainer(TOWERS[name], **kwargs)
    tables = golden.official_keys(name, 'rotary_tables')
    shapes = {key: shape for key, shape in golden.official_keys(name).items()
              if key.startswith('visual.') and key not in tables}
    for part, make in ((model.backbone, golden.student), (model.teacher_backbone, golden.weight)):
        part.load_state_dict({key.removeprefix('visual.'): make(key, shape)
                              for key, shape in shapes.items()})
    images = golden.images(meta['seed'], (2, 3, meta['det'], meta['det']))
    crops = golden.images(meta['seed'] + 1, (2, 6, 3, meta['crop'], meta['crop']))
    samples = []
    for own, pictures in zip(tensors['boxes'], crops):
        valid = own[:, 4] > 0
        samples.append(DetDataSample(proposals=InstanceData(
            bboxes=own[valid, :4] * meta['det'], crops=pictures[valid])))
    return model.train(), meta, images, samples


def optimiser(model: nn.Module, meta: dict, name: str):
    """The optimiser of the recipe, with the rate of the case."""
    recipe = 'clipself-b16_distil_coco' if name.startswith('eva') else \
        'clipself-openai-b16_distil_coco'
    cfg = Config.fromfile(str(config_root() / f'clipself/{recipe}.py')).optim_wrapper
    cfg.optimizer.lr = meta['lr']
    built = build_optim_wrapper(model, cfg).optimizer
    assert built.defaults['betas'] == tuple(meta['betas']) and built.defaults['eps'] == meta['eps']
    return built


@pytest.mark.parametrize('name', TOWERS)
@pytest.mark.parametrize('with_cp', [False, True])
def test_loss_gradients_and_step_are_the_official_ones(name, with_cp):
    model, meta, images, samples = official(name, crop_batch=3)
    model.backbone.with_cp = with_cp
    parameters = {f'visual.{key}': p for key, p in model.backbone.named_parameters()}
    start = {key: p.detach().clone() for key, p in parameters.items()}
    adam = optimiser(model, meta, name)
    loss = model.loss(images, samples)['loss_cosine']
    assert float(loss) == pytest.approx(meta['loss'], rel=1e-4)
    loss.backward()
    for key, norm in meta['grad_norm'].items():
        if key in parameters:
            grad = parameters[key].grad
            assert (grad is None) == (norm is None), key
            assert norm is None or float(grad.norm()) == pytest.approx(norm, rel=1e-3, abs=1e-7)
    whole = torch.cat([p.grad.flatten() for p in parameters.values() if p.grad is not None])
    assert float(whole.norm()) == pytest.approx(meta['grad_total_norm'], rel=1e-3)
    decays = {key for group in adam.param_groups for key, p in parameters.items()
              if p is group['params'][0] and group['weight_decay']}
    assert decays == {key for key in meta['decay'] if parameters[key].grad is not None}
    adam.step()
    for key, norm in meta['step_delta_norm'].items():
        if key in parameters:
            moved = float((parameters[key] - start[key]).norm())
            assert moved == pytest.approx(norm, rel=1e-3, abs=1e-6), key
    changed = {key for key, p in parameters.items() if not torch.equal(p, start[key])}
    assert changed == set(meta['changed'])
    again = model.loss(images, samples)['loss_cosine']
    assert float(again) == pytest.approx(meta['loss_after_step'], rel=1e-3)


@pytest.mark.parametrize('name', TOWERS)
def test_features_of_both_sides_and_the_ensemble_are_the_official_ones(name):
    model, meta, images, samples = official(name)
    tensors = golden.case(f'{name}_train_n3')[1]
    with torch.no_grad():
        found = torch.cat(model.region_features(images, model.boxes_of(samples)))
        crops = model.crop_features([sample.proposals.crops for sample in samples])
    assert torch.allclose(found, tensors['student_roi'], atol=1e-5)
    assert torch.allclose(nn.functional.normalize(crops, dim=1), tensors['teacher_crop'], atol=1e-5)
    adam = optimiser(model, meta, name)
    model.loss(images, samples)['loss_cosine'].backward()
    adam.step()
    teacher = model.teacher_backbone.state_dict()
    mixed = between(model.backbone.state_dict(), teacher, 0.7)
    for key, norm in meta['ensemble_0.7_norm'].items():
        key = key.removeprefix('visual.')
        if key in mixed:
            assert float(mixed[key].norm()) == pytest.approx(norm, rel=1e-5)
    for key, norm in meta['ensemble_0.7_delta_to_teacher'].items():
        key = key.removeprefix('visual.')
        if key in mixed:
            assert float((mixed[key] - teacher[key]).norm()) == pytest.approx(norm, rel=1e-3,
                                                                              abs=1e-5)


def drawn(pictures: list[list[int]]) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Normalised images and samples of two pictures, as the recipe of the case draws them."""
    steps = Compose([TRANSFORMS.build(step) for step in (
        dict(type='glipkit.GridProposals', max_split=3), dict(type='glipkit.CutCrops', size=64),
        dict(type='glipkit.WithProposals',
             transforms=[dict(type='glipkit.LongSideResize', size=96)]),
        dict(type='mmdet.Pad', size=(96, 96)), dict(type='glipkit.PackGrounding'))])
    found = [steps(dict(img=np.ascontiguousarray(golden.picture(*own[1:])[..., ::-1]),
                        img_shape=own[:0:-1][:2], ori_shape=own[:0:-1][:2])) for own in pictures]
    data = PIXELS(dict(inputs=[one['inputs'] for one in found],
                       data_samples=[one['data_samples'] for one in found]))
    return data['inputs'], data['data_samples']


def test_nouns_on_regions_give_the_loss_and_gradients_of_the_released_baseline():
    """What the official code compares with CLIPSelf: each noun is a question of its own."""
    meta, tensors = golden.case('regionclip_baseline')
    model = official('eva_tiny')[0]
    model.backbone.load_state_dict(model.teacher_backbone.state_dict())  # not perturbed here
    images = golden.images(meta['seed'], (2, 3, meta['det'], meta['det']))
    rows = tensors['boxes']  # of every slot a box, the noun, and whether it is there
    boxes = [one[one[:, 5] > 0, :4] * meta['det'] for one in rows]
    nouns = nn.functional.normalize(torch.stack([
        50 * golden.weight(f'noun.{i}', (64, )) for i in range(meta['nouns'])]), dim=1)
    features = torch.cat(model.region_features(images, boxes))
    logits = meta['temperature'] * features @ nouns.T
    wanted = nn.functional.one_hot(rows[rows[..., 5] > 0][:, 4].long(), meta['nouns']).float()
    loss = nn.functional.binary_cross_entropy_with_logits(
        logits, wanted, reduction='none').sum(1).mean()
    assert loss.item() == pytest.approx(meta['loss'], rel=1e-4)
    loss.backward()
    for key, norm in meta['grad_norm'].items():
        parameter = dict(model.backbone.named_parameters()).get(key.removeprefix('visual.'))
        if parameter is not None and parameter.grad is not None:
            assert float(parameter.grad.norm()) == pytest.approx(norm, rel=1e-3, abs=1e-7), key


def test_two_steps_of_the_whole_official_training_and_what_it_saves():
    """Its main(): pictures, grids and their order, crops, warm-up, two steps, the ensemble."""
    meta, tensors = golden.case('main_grid')
    shapes = golden.official_keys('eva_tiny')
    model = ClipSelfPretrainer(TOWERS['eva_tiny'], data_preprocessor=PREPROCESSOR)
    tower = {key: golden.weight(f'visual.{key}', shapes[f'visual.{key}'])
             for key in model.backbone.state_dict()}
    model.backbone.load_state_dict(tower)
    model.teacher_backbone.load_state_dict(tower)
    adam = optimiser(model, dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8), 'eva_tiny')
    random.seed(0)
    for step, wanted in enumerate(meta['losses']):
        images, samples = drawn(meta['train_pictures'][::-1])
        assert torch.allclose(images[:, :, ::8, ::8], tensors[f'image_{step}'], atol=1e-5)
        for sample, rows in zip(samples, tensors[f'boxes_{step}']):
            assert torch.allclose(sample.proposals.bboxes / 96, rows[rows[:, 4] > 0, :4], atol=1e-6)
        for group in adam.param_groups:
            group['lr'] = 1e-3 * (step + 1) / 2
        loss = model.loss(images, samples)['loss_cosine']
        assert loss.item() == pytest.approx(wanted, rel=1e-4 if step == 0 else 1e-3)
        adam.zero_grad()
        loss.backward()
        adam.step()
    saved = between(model.backbone.state_dict(), tower, meta['alpha'])
    for key, wanted in meta['delta_norm'].items():
        key = key.removeprefix('visual.')
        if key in saved:
            assert float((saved[key] - tower[key]).norm()) == pytest.approx(wanted, rel=0.02,
                                                                            abs=1e-5), key


def tiny(**kwargs) -> ClipSelfPretrainer:
    torch.manual_seed(0)
    return ClipSelfPretrainer(SMALL, data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor', mean=[0.] * 3, std=[255.] * 3, bgr_to_rgb=True), **kwargs)


def sample_of(*boxes: list[float]) -> DetDataSample:
    torch.manual_seed(len(boxes))
    return DetDataSample(proposals=InstanceData(
        bboxes=torch.tensor(boxes).reshape(-1, 4),
        crops=torch.randint(0, 256, (len(boxes), 3, 32, 32), dtype=torch.uint8)))


def test_only_layers_train_and_the_teacher_never_leaves_evaluation():
    model = tiny(trained_layers=2).train()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith(('backbone.blocks.1.', 'backbone.blocks.2.'))
                           for name in trained)
    assert 'backbone.blocks.2.attn.q_proj.weight' not in trained
    assert 'backbone.blocks.1.attn.q_proj.weight' in trained
    assert model.backbone.training and not model.teacher_backbone.training
    assert not any('text' in name for name, _ in model.named_parameters())


def test_a_map_does_not_say_what_its_own_class_token_says():
    """B4 of the fact sheet: same weights, same pixels, the whole image as the box, and a loss."""
    model, sample = tiny(), sample_of([0., 0, 32, 32])
    model.teacher_backbone.load_state_dict(model.backbone.state_dict())
    images = sample.proposals.crops.flip(1) / 255
    assert torch.allclose(model.image_features(images),
                          model.crop_features([sample.proposals.crops]), atol=1e-6)
    assert model.loss(images, [sample])['loss_cosine'] > .01


def test_crops_go_through_the_preprocessor_in_parts_and_record_nothing():
    model, crops = tiny(crop_batch=2), sample_of(*[[0., 0, 8, 8]] * 5).proposals.crops
    seen = []
    model.teacher_backbone.embed_image, plain = (
        lambda x: seen.append(x) or plain(x)), model.teacher_backbone.embed_image
    found = model.crop_features([crops[:3], crops[3:]])
    assert [len(x) for x in seen] == [2, 2, 1] and not found.requires_grad
    assert torch.allclose(seen[0], crops[:2].flip(1) / 255)
    assert torch.allclose(found, plain(crops.flip(1) / 255), atol=1e-6)


def test_images_without_boxes_and_a_batch_without_any():
    model, images = tiny(), torch.rand(2, 3, 64, 64)
    one = model.loss(images, [sample_of([4., 4, 40, 60]), sample_of()])['loss_cosine']
    alone = model.loss(images[:1], [sample_of([4., 4, 40, 60])])['loss_cosine']
    assert torch.allclose(one, alone) and 0 < float(one) < 2
    nothing = model.loss(images, [sample_of(), sample_of()])['loss_cosine']
    nothing.backward()
    assert float(nothing) == 0
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_mismatched_crops_are_those_of_other_boxes():
    model = tiny(mismatched=True)
    images = torch.rand(1, 3, 64, 64)
    boxes = [[0., 0, 30, 30], [30., 30, 64, 64], [0., 30, 20, 64]]
    sample = sample_of(*boxes)
    own = torch.cat(model.region_features(images, [sample.proposals.bboxes]))
    crops = model.crop_features([sample.proposals.crops])
    wanted = crop_distillation(own, crops[[1, 2, 0]])
    assert torch.allclose(model.loss(images, [sample])['loss_cosine'], wanted)


def test_prediction_gives_features_of_the_boxes():
    sample = tiny().eval().predict(torch.rand(1, 3, 64, 64), [sample_of([0., 0, 30, 30])])[0]
    assert sample.pred_instances.features.shape == (1, 8)
    assert torch.allclose(sample.pred_instances.features.norm(dim=1), torch.ones(1))


def test_the_mean_cosine_by_hand():
    regions = torch.tensor([[2., 0], [0, 1], [3, 4]], requires_grad=True)
    loss = crop_distillation(regions, torch.tensor([[5., 0], [1, 0], [1, 0]]))
    assert float(loss) == pytest.approx(1 - (1 + 0 + 0.6) / 3)


@pytest.mark.parametrize('change, said', [
    (dict(backbone=dict(type='glipkit.ClipResNet', layers=(1, 1, 1, 1), width=8, embed_dim=24,
                        heads=4, image_size=64)), 'a dense map'),
    (dict(teacher_backbone={**SMALL, 'embed_dim': 12}), 'one width'),
    (dict(trained_layers=0), 'trained_layers from 1 to 3'),
    (dict(crop_batch=0), 'crop_batch')])
def test_what_cannot_be_distilled_is_one_line(change, said):
    with pytest.raises(UserError, match=said):
        ClipSelfPretrainer(**{'backbone': SMALL, **change})


def test_samples_without_boxes_or_crops_are_one_line():
    images, sample = torch.rand(1, 3, 64, 64), DetDataSample()
    with pytest.raises(UserError, match='GridProposals'):
        tiny().loss(images, [sample])
    sample.proposals = InstanceData(bboxes=torch.zeros(1, 4))
    with pytest.raises(UserError, match='CutCrops'):
        tiny().loss(images, [sample])
