"""RegionCLIP's released files, both ways, and what each may be the beginning of."""
from __future__ import annotations

import warnings

import pytest
import torch

from glipkit.apis.convert import convert_checkpoint
from glipkit.checkpoints import (
    load_backbone,
    load_checkpoint,
    load_text_encoder,
    read,
    read_file,
    read_training_checkpoint,
    save_checkpoint,
    to_layout,
    write,
)
from glipkit.checkpoints.family import family_of, recognise
from glipkit.checkpoints.files import RawFile
from glipkit.checkpoints.layouts import from_raw
from glipkit.checkpoints.loading import check_state, fit_state
from glipkit.errors import UserError
from tests.region_clip_golden import official_keys

from .tiny_clip import (
    Detector,
    Pretraining,
    image_tower,
    official_state,
    openai_state,
    same,
    text_encoder,
)

PRETRAINED = dict(text=True, teacher=True)


@pytest.fixture
def clip_file(tmp_path):
    torch.save(openai_state(), tmp_path / 'RN50.pt')
    return tmp_path / 'RN50.pt'


def official(path, **what):
    torch.save({'model': official_state(**what), 'optimizer': {}, 'iteration': 3}, path)
    return path


@pytest.mark.parametrize('name', [f'{kind}_{size}' for size in ('rn50', 'rn50x4')
                                  for kind in ('pretrain', 'coco', 'lvis')])
def test_every_key_of_a_released_file_goes_there_and_back(name):
    state = {key: torch.zeros(()).expand(shape) for key, shape in official_keys(name).items()}
    found = recognise(state)
    assert (found.family.name, found.layout, found.prefix) == ('RegionCLIP', 'official', '')
    checkpoint = from_raw(RawFile(dict(state)), name)
    family = family_of(checkpoint.state)
    variant = name.rpartition('_')[2]
    assert family.check(checkpoint, name, 'glipkit').startswith(f'{variant}: CLIP ResNet')
    assert family.variant(checkpoint.state) == variant
    parts = {key.partition('.')[0] for key in checkpoint.state}
    assert parts == ({'backbone', 'teacher_backbone', 'text_encoder'} if 'pretrain' in name
                     else {'backbone', 'roi_head'})
    again = to_layout(checkpoint, 'official')
    assert again.state.keys() == state.keys() and not again.left
    assert all(again.state[key] is tensor for key, tensor in state.items())


@pytest.mark.slow
def test_our_modules_have_the_released_tensors():
    from glipkit.models.backbones.clip_resnet import ClipResNet
    from glipkit.text.encoders.clip_text import ClipTextEncoder
    for name, text in (('rn50', {}), ('rn50x4', dict(width=640, heads=10, embed_dim=640))):
        shapes = official_keys(f'pretrain_{name}')
        for prefix, module in (('backbone.', ClipResNet(name)),
                               ('teacher_backbone.', ClipResNet(name)),
                               ('lang_encoder.', ClipTextEncoder(**text))):
            assert {prefix + key: list(tensor.shape)
                    for key, tensor in module.state_dict().items()} == \
                {key: shape for key, shape in shapes.items() if key.startswith(prefix)}


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
@pytest.mark.parametrize('what', [PRETRAINED, {}, dict(masks=True)],
                         ids=['pretrained', 'coco', 'lvis'])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_a_round_trip_is_bit_equal(tmp_path, suffix, what, prefix):
    state = {prefix + key: tensor for key, tensor in official_state(**what).items()}
    torch.save({'model': state}, tmp_path / 'a.pth')
    report = convert_checkpoint(tmp_path / 'a.pth', tmp_path / f'own.{suffix}')
    assert report.layouts == ('official', 'glipkit') and report.kept >= 2
    convert_checkpoint(tmp_path / f'own.{suffix}', tmp_path / 'again.pth', 'official')
    content = torch.load(tmp_path / 'again.pth', weights_only=True)
    assert list(content) == ['model'] and same(content['model'], state)


def test_a_pretrained_file_becomes_each_model(tmp_path):
    path, state = official(tmp_path / 'a.pth', **PRETRAINED), official_state(**PRETRAINED)
    model = Pretraining()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load_checkpoint(model, path)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[key.replace('text_encoder.', 'lang_encoder.')])
    detector = Detector(masks=True)
    with pytest.warns(UserWarning, match='roi_head.bbox_pred, roi_head.mask_head.deconv, '
                                         'roi_head.mask_head.predictor stays as initialised'):
        report = load_checkpoint(detector, path)
    assert torch.equal(detector.backbone.bn1.running_var, state['backbone.bn1.running_var'])
    assert any(key.startswith('teacher_backbone.') for key in report.aside)
    image, text = image_tower(), text_encoder()
    assert load_backbone(image, path).layout == 'official'
    load_text_encoder(text, path)
    assert torch.equal(text.text_projection, state['lang_encoder.text_projection'])


@pytest.mark.parametrize('masks', [False, True])
def test_a_detector_needs_the_words_and_convert_brings_them(tmp_path, clip_file, masks):
    path = official(tmp_path / 'detector.pth', masks=masks)
    model = Detector(masks)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    convert_checkpoint(path, tmp_path / 'own.safetensors')
    for file in (path, tmp_path / 'own.safetensors'):
        with pytest.raises(UserError, match=f'glipkit convert {file} with_text.safetensors '
                                            '--text RN50.pt') as caught:
            load_checkpoint(model, file)
        assert '\n' not in str(caught.value) and same(model.state_dict(), before)
    for place, file in enumerate((path, tmp_path / 'own.safetensors')):
        with_text = tmp_path / f'with_text{place}.safetensors'
        convert_checkpoint(file, with_text, text=clip_file)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            load_checkpoint(model, with_text)
        state = official_state(masks)
        assert torch.equal(model.roi_head['bbox_pred'].bias,
                           state['roi_heads.box_predictor.bbox_pred.bias'])
        assert torch.equal(model.text_encoder.text_projection,
                           openai_state()['text_projection'].float())
        # The official file had no text encoder, and gets none.
        report = convert_checkpoint(with_text, tmp_path / f'again{place}.pth', 'official')
        assert same(read_file(tmp_path / f'again{place}.pth').state, state)
        assert 'text_encoder.text_projection' in report.left


def test_words_come_from_any_file_that_has_them_and_only_once(tmp_path, clip_file):
    path = official(tmp_path / 'detector.pth')
    pretrained = official(tmp_path / 'pretrained.pth', **PRETRAINED)
    convert_checkpoint(path, tmp_path / 'a.pth', text=pretrained)
    assert torch.equal(read(tmp_path / 'a.pth').state['text_encoder.text_projection'],
                       official_state(**PRETRAINED)['lang_encoder.text_projection'])
    for source, text, problem in ((tmp_path / 'a.pth', clip_file, 'leave --text out'),
                                  (path, path, 'a text encoder in the file of --text')):
        with pytest.raises(UserError, match=problem):
            convert_checkpoint(source, tmp_path / 'b.pth', text=text)
    other = openai_state() | {'text_projection': torch.ones(8, 11)}
    torch.save({k: v for k, v in other.items() if not k.startswith('visual')} | {
        k: v[:11] if 'c_proj' in k and 'attnpool' in k else v for k, v in other.items()
        if k.startswith('visual')}, tmp_path / 'other.pt')
    with pytest.raises(UserError, match='image and text features of one width'):
        convert_checkpoint(path, tmp_path / 'b.pth', text=tmp_path / 'other.pt')
    assert not (tmp_path / 'b.pth').exists()


def test_a_detector_of_masks_serves_without_them_but_not_the_other_way_round(tmp_path, clip_file):
    convert_checkpoint(official(tmp_path / 'masks.pth', masks=True), tmp_path / 'm.pth',
                       text=clip_file)
    report = load_checkpoint(Detector(), tmp_path / 'm.pth')
    assert 'roi_head.mask_head.predictor.bias' in report.aside
    convert_checkpoint(official(tmp_path / 'boxes.pth'), tmp_path / 'b.pth', text=clip_file)
    with pytest.raises(UserError, match='4 missing: roi_head.mask_head'):
        load_checkpoint(Detector(masks=True), tmp_path / 'b.pth')


def test_our_own_detectors_and_pretrainings(tmp_path):
    torch.manual_seed(0)
    detector, pretraining = Detector(), Pretraining()
    for name, model in (('detector', detector), ('pretraining', pretraining)):
        save_checkpoint(model, tmp_path / f'{name}.safetensors')
        other = type(model)()
        load_checkpoint(other, tmp_path / f'{name}.safetensors')
        assert same(other.state_dict(), model.state_dict())
        write(read(tmp_path / f'{name}.safetensors'), tmp_path / 'a.pth', 'official')
        other = type(model)()
        load_checkpoint(other, tmp_path / 'a.pth')
        assert same(other.state_dict(), model.state_dict())
    other = Detector()
    with pytest.warns(UserWarning, match='stays as initialised'):
        load_checkpoint(other, tmp_path / 'pretraining.safetensors')
    assert same(other.backbone.state_dict(), pretraining.backbone.state_dict())
    write(read(tmp_path / 'detector.safetensors'), tmp_path / 'towers.pth', 'openai')
    load_backbone(other.backbone, tmp_path / 'towers.pth')
    assert same(other.backbone.state_dict(), detector.backbone.state_dict())


def test_a_detector_is_trained_from_a_pretraining(tmp_path):
    model = Detector()
    path = official(tmp_path / 'a.pth', **PRETRAINED)
    content, remark = fit_state(model, read_training_checkpoint(path), path)
    check_state(model, content, path)
    assert remark == f'{path}: roi_head.bbox_pred stays as initialised'
    # One that training wrote, with averaged weights beside.
    pretraining = Pretraining()
    torch.save({'state_dict': pretraining.state_dict(), 'meta': {}, 'message_hub': {},
                'ema_state_dict': pretraining.state_dict()}, tmp_path / 'iter_1.pth')
    content, _ = fit_state(model, read_training_checkpoint(tmp_path / 'iter_1.pth'), path)
    check_state(model, content, path)
    assert 'ema_state_dict' not in content
    model.load_state_dict(content['state_dict'])
    assert same(model.backbone.state_dict(), pretraining.backbone.state_dict())


@pytest.mark.parametrize(('change', 'problem'), [
    (lambda s: s.pop('backbone.layer2.1.bn1.running_var'), '1 missing: backbone.layer2.1.bn1'),
    (lambda s: s.pop('roi_heads.box_predictor.bbox_pred.bias'), '1 missing: roi_head.bbox_pred.b'),
    (lambda s: s.update({'roi_heads.box_predictor.bbox_pred.weight': torch.ones(8, 12)}),
     '1 of another shape: roi_head.bbox_pred.weight'),
    (lambda s: s.pop('roi_heads.mask_head.predictor.bias'), '1 missing: roi_head.mask_head.pred'),
    (lambda s: s.update({'roi_heads.more.weight': torch.ones(1)}), '1 unexpected: roi_heads.more'),
])
def test_a_file_that_is_no_whole_detector_is_refused(tmp_path, change, problem):
    state = official_state(masks=True)
    change(state)
    torch.save({'model': state}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=problem) as caught:
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'own.pth')
    assert '\n' not in str(caught.value) and not (tmp_path / 'own.pth').exists()


def test_the_form_with_a_pyramid_is_one_clear_error(tmp_path):
    state = {key.replace('backbone.', 'backbone.bottom_up.', 1): tensor
             for key, tensor in official_state().items() if not key.startswith('offline')}
    torch.save({'model': state}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='of the C4 form .* got .* with a feature pyramid'):
        load_checkpoint(Detector(), tmp_path / 'a.pth')


def test_a_proposal_network_is_no_model_of_the_family():
    for name in ('rpn_coco', 'rpn_lvis'):
        assert recognise({key: torch.empty(0) for key in official_keys(name)}) is None


def test_half_precision_and_not_finite(tmp_path):
    state = {key: tensor.half() for key, tensor in official_state(**PRETRAINED).items()}
    torch.save({'model': state}, tmp_path / 'a.pth')
    model = Pretraining()
    load_checkpoint(model, tmp_path / 'a.pth')
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())
    state['backbone.bn1.running_var'][0] = float('nan')
    torch.save({'model': state}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='NaN in backbone.bn1.running_var'):
        load_checkpoint(model, tmp_path / 'a.pth')
