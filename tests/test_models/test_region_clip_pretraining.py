"""RegionCLIP's pre-training: losses and gradients of the official code, pseudo-labels, pools."""
from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.model import ExponentialMovingAverage
from mmengine.structures import InstanceData

from glipkit.errors import UserError
from glipkit.models.pretrainers.region_clip import RegionClipPretrainer
from glipkit.text.bank import TextBank
from tests import region_clip_golden as golden

OFFICIAL = {'loss_caption': 'loss_img_txt_level', 'loss_distill': 'loss_region_distill',
            'loss_contrast': 'loss_concept_contrastive'}


TOWER = dict(type='glipkit.ClipResNet', layers=(1, 1, 1, 1), width=8, embed_dim=24, heads=4,
             image_size=64)
TEXT = dict(type='glipkit.ClipTextEncoder', width=16, heads=2, layers=1, embed_dim=24)


def names(count: int) -> list[str]:
    return [f'concept {i}' for i in range(count)]


def samples_of(captions, boxes):
    found = [DetDataSample(metainfo=dict(text=caption)) for caption in captions]
    for sample, one in zip(found, boxes):
        sample.proposals = InstanceData(bboxes=one)
    return found


@pytest.fixture(scope='module')
def official():
    """The pre-training with the weights of the golden run, without a pool."""
    model = RegionClipPretrainer(
        backbone=dict(type='glipkit.ClipResNet', variant='rn50'),
        text_encoder=dict(type='glipkit.ClipTextEncoder'),
        box_source=dict(type='glipkit.RandomBoxes'), regions=None)
    for ours, theirs in (('backbone.', 'backbone.'), ('text_encoder.', 'lang_encoder.')):
        part = model.get_submodule(ours[:-1])
        part.load_state_dict(golden.official_state('pretrain_rn50', theirs))
    return model.train()


@pytest.mark.slow
@pytest.mark.parametrize('run', ['same', 'different', 'fallback'])
def test_losses_and_gradients_of_the_official_code(official, run, monkeypatch):
    meta, arrays = golden.case('pretrain_rn50')
    facts = meta['runs'][run]
    prefix = 'backbone.' if run == 'same' else 'teacher_backbone.'
    official.teacher_backbone.load_state_dict(golden.official_state('pretrain_rn50', prefix))
    pool = arrays[f'{"same" if run == "same" else "different"}_pool']
    official.set_concepts(TextBank(names(len(pool)), pool))
    official.threshold = facts['threshold']
    images = golden.normalised(golden.pictures(meta))
    boxes = [arrays[f'boxes_{i}'] for i in range(3)]
    samples = samples_of(meta['captions'], boxes)

    said = []
    monkeypatch.setattr(official, 'pseudo_labels', lambda *args: said.append(
        RegionClipPretrainer.pseudo_labels(official, *args)) or said[-1])
    losses = official.loss(images, samples)
    labels, = said
    concepts = labels.concepts.masked_fill(~labels.keep, -1)
    assert labels.keep.tolist() == arrays[f'{run}_keep'].tolist()
    assert concepts.tolist() == arrays[f'{run}_concepts'].tolist()
    assert int(labels.keep.sum()) == facts['kept']
    for ours, theirs in OFFICIAL.items():
        torch.testing.assert_close(losses[ours].item(), facts['losses'][theirs], rtol=1e-4,
                                   atol=1e-6)
    trained = {name: p for name, p in official.named_parameters() if p.requires_grad}
    assert all(name.startswith('backbone.') for name in trained)
    total = [torch.zeros_like(p) for p in trained.values()]
    for ours, theirs in OFFICIAL.items():
        found = torch.autograd.grad(losses[ours], list(trained.values()), retain_graph=True)
        total = [a + b for a, b in zip(total, found)]
        check_norms(dict(zip(trained, found)), facts['gradient_norms'][theirs])
    check_norms(dict(zip(trained, total)), facts['gradient_norms']['total'])


def check_norms(gradients, expected):
    norms = {name: gradient.norm().item() for name, gradient in gradients.items()}
    norms['all'] = sum(norm**2 for norm in norms.values())**0.5
    for key, value in expected.items():
        torch.testing.assert_close(norms[key], value, rtol=1e-3, atol=1e-3)


@pytest.fixture
def bank():
    return TextBank(names(5), torch.randn(5, 24, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def tiny(bank):
    torch.manual_seed(0)
    model = build()
    model.set_concepts(bank)
    return model.train()


def build(**changes):
    return RegionClipPretrainer(**{**dict(
        backbone=TOWER, text_encoder=TEXT, box_source=dict(type='glipkit.RandomBoxes', count=6),
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor')), **changes})


def batch(count=2, side=64):
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    captions = ['two dogs', 'a red bus', 'an old cat', 'many people'][:count]
    boxes = torch.tensor([[0., 0, 40, 40], [8, 8, 60, 50], [30, 20, 64, 64]])
    return images, samples_of(captions, [boxes] * count)


def as_teacher(model):
    model.teacher_backbone.load_state_dict(model.backbone.state_dict())


def test_a_teacher_that_is_a_copy_has_nothing_to_tell(tiny):
    """A1 of the fact sheet."""
    as_teacher(tiny)
    images, samples = batch()
    found = tiny.predict(images, samples)  # a concept for each region: all regions differ
    tiny.set_concepts(TextBank(names(6), torch.cat([f.pred_instances.features for f in found])))
    losses = tiny.loss(images, samples)
    assert losses['kept_regions'] > 0
    assert losses['loss_distill'] < 1e-6 < losses['loss_contrast']
    losses['loss_distill'].backward(retain_graph=True)
    assert all(p.grad.abs().max() < 1e-3 for p in tiny.parameters() if p.grad is not None)


def test_what_learns_and_what_does_not(tiny):
    """A8 of the fact sheet, and that every parameter that learns is reached."""
    found = tiny.loss(*batch())
    sum(value for name, value in found.items() if name.startswith('loss')).backward()
    frozen = ('backbone.conv', 'backbone.layer1.', 'text_encoder.', 'teacher_backbone.')
    for name, parameter in tiny.named_parameters():
        learns = not name.startswith(frozen) and '.bn' not in name and 'downsample.1' not in name
        assert (parameter.grad is not None) == learns, name
    assert not any(module.training for part in ('text_encoder', 'teacher_backbone')
                   for module in getattr(tiny, part).modules())


def test_the_threshold_and_its_fallback(tiny, monkeypatch):
    """A3 of the fact sheet: best probabilities of 0.09 and 0.11."""
    images, samples = batch(1)
    boxes = [samples[0].proposals.bboxes[:2]]
    rest = lambda best: torch.full((1, 20), (1 - best) / 19).index_fill(  # noqa: E731
        1, torch.tensor(3), best)
    rows = {0.09: rest(0.09), 0.11: rest(0.11)}

    def keep(*bests):
        logits = torch.cat([rows[best] for best in bests]).log() * tiny.temperature
        monkeypatch.setattr('glipkit.models.pretrainers.region_clip._cosines',
                            lambda features, pool: logits)
        found = tiny.pseudo_labels(images, boxes)
        assert found.concepts.tolist() == [3, 3]
        torch.testing.assert_close(found.scores, torch.tensor(bests))
        return found.keep.tolist()

    assert keep(0.09, 0.11) == [False, True]
    assert keep(0.09, 0.09) == [True, True]


@pytest.mark.parametrize('name', ['contrast', 'distill', 'caption'])
def test_each_loss_can_be_switched_off(bank, name):
    whole = build()
    whole.set_concepts(bank)
    torch.manual_seed(0)
    model = build(loss_weights={name: 0, 'caption' if name != 'caption' else 'distill': 2})
    model.load_state_dict(whole.state_dict())
    model.set_concepts(bank)
    found, wanted = model.loss(*batch()), whole.loss(*batch())
    assert f'loss_{name}' not in found and len(found) == len(wanted) - 1
    doubled = 'loss_distill' if name == 'caption' else 'loss_caption'
    torch.testing.assert_close(found[doubled], 2 * wanted[doubled])


def test_captions_alone_need_neither_teacher_nor_pool():
    model = build(loss_weights=dict(contrast=0, distill=0))
    model.init_weights()
    assert not any(name.startswith('teacher') for name in model.state_dict())
    assert set(model.loss(*batch())) == {'loss_caption'}


def test_what_the_state_dict_holds(tiny):
    assert {name.partition('.')[0] for name in tiny.state_dict()} == {
        'backbone', 'teacher_backbone', 'text_encoder'}


def test_a_teacher_of_another_size_has_a_pool_of_its_own(bank):
    model = build(teacher_backbone={**TOWER, 'embed_dim': 12, 'image_size': 96})
    with pytest.raises(UserError, match='space of the teacher, of 12 numbers.*teacher_concepts'):
        model.set_concepts(bank)
    other = TextBank(names(5), torch.randn(5, 12))
    with pytest.raises(UserError, match='space of the student, of 24'):
        model.set_concepts(other, other)
    with pytest.raises(UserError, match='same concepts in the same order'):
        model.set_concepts(bank, TextBank(names(5)[::-1], other.embeddings))
    model.set_concepts(bank, other)
    assert all(torch.isfinite(value) for value in model.loss(*batch()).values())


def test_pools_come_from_files(bank, tmp_path):
    bank.write(tmp_path / 'pool.safetensors')
    model = build(concepts=str(tmp_path / 'pool.safetensors'))
    model.init_weights()
    other = build()
    other.load_state_dict(model.state_dict())
    other.set_concepts(bank)
    torch.testing.assert_close(model.loss(*batch()), other.loss(*batch()))
    with pytest.raises(UserError, match='no.safetensors'):
        build(concepts=str(tmp_path / 'no.safetensors')).init_weights()
    with pytest.raises(UserError, match='a concept pool .* got none; .*glipkit concepts'):
        build().init_weights()


def test_a_random_part_of_the_boxes(tiny, monkeypatch):
    images, samples = batch(1)
    samples[0].proposals = InstanceData(bboxes=torch.arange(400.).reshape(100, 4))
    tiny.regions = 10
    torch.manual_seed(3)
    first, = tiny._draw_boxes(images, samples)
    again, = tiny._draw_boxes(images, samples)
    torch.manual_seed(3)
    assert torch.equal(tiny._draw_boxes(images, samples)[0], first)
    assert len(first) == 10 and not torch.equal(first, again)
    assert len({tuple(row) for row in first.tolist()}) == 10


@pytest.mark.parametrize('caption', [1, 0])
def test_images_without_boxes(tiny, caption):
    tiny.loss_weights['caption'] = caption
    images, samples = batch()
    for sample in samples:
        sample.proposals = InstanceData(bboxes=torch.zeros(0, 4))
    losses = tiny.loss(images, samples)
    assert losses['loss_contrast'] == losses['loss_distill'] == losses['kept_regions'] == 0
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    assert all(p.grad is not None for p in tiny.backbone.parameters() if p.requires_grad)


def test_images_with_class_names_are_refused(tiny):
    images, samples = batch()
    samples[1].set_metainfo(dict(text=('dog', 'cat')))
    with pytest.raises(UserError, match='a caption with every image.*dog'):
        tiny.loss(images, samples)


@pytest.mark.parametrize('weights, message', [
    (dict(kd=1), 'kd'), (dict(contrast=0, distill=0, caption=0), 'at least one loss')])
def test_losses_that_there_are_not(weights, message):
    with pytest.raises(UserError, match=message):
        build(loss_weights=weights)


def test_an_encoder_of_tokens_is_refused():
    with pytest.raises(UserError, match='one row of features per text.*BertEncoder'):
        build(text_encoder=dict(type='glipkit.BertEncoder', hidden_size=8, num_heads=2,
                                num_layers=1, intermediate_size=8))


def test_prediction_gives_region_features(tiny):
    images, samples = batch()
    tiny.eval()
    first, second = tiny(images, samples, mode='predict')
    assert first.pred_instances.features.shape == (3, 24)
    maps = tiny.backbone(images)[-1]
    alone = tiny.backbone.region_features(maps[1:], [second.pred_instances.bboxes])[1]
    torch.testing.assert_close(second.pred_instances.features, alone)
    assert tiny(images).shape == (2, 24)


def test_a_teacher_that_sees_the_images_larger(tiny):
    images, samples = batch()
    boxes = [sample.proposals.bboxes for sample in samples]
    tiny.teacher_scale = 2.
    larger = torch.nn.functional.interpolate(images, scale_factor=2, mode='bilinear')
    found = tiny.pseudo_labels(images, boxes)
    tiny.teacher_scale = 1.
    expected = tiny.pseudo_labels(larger, [2 * one for one in boxes])
    torch.testing.assert_close(found.logits, expected.logits)
    assert not torch.allclose(found.logits, tiny.pseudo_labels(images, boxes).logits)


def test_an_averaged_copy_follows_whenever_the_pools_come(bank):
    model = build()
    averaged = ExponentialMovingAverage(model, momentum=.5)
    model.set_concepts(bank)
    averaged.update_parameters(model)  # takes over all at first
    with torch.no_grad():
        for parameter in model.backbone.layer2.parameters():
            parameter.add_(1)
    averaged.update_parameters(model)
    for mean, now in zip(averaged.module.backbone.layer2.parameters(),
                         model.backbone.layer2.parameters()):
        torch.testing.assert_close(mean, now - .5)
