"""CLIP files: OpenAI's, open_clip's and timm's, as towers and as the beginning of other models."""
from __future__ import annotations

import re
import warnings

import pytest
import timm
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
    write,
)
from glipkit.checkpoints.clip import CLIP
from glipkit.checkpoints.family import recognise
from glipkit.checkpoints.loading import check_state, fit_state
from glipkit.errors import UserError

from .tiny_clip import (
    IMAGE,
    LARGE,
    Clip,
    Detector,
    Pretraining,
    image_tower,
    openai_state,
    same,
    text_encoder,
)

LOADED = {'backbone': 'visual.', 'text_encoder': ''}


def holds(module, state, prefix='') -> bool:
    own = module.state_dict()
    return all(torch.equal(tensor, state[prefix + key].float()) for key, tensor in own.items())


@pytest.mark.parametrize('form', ['bare', 'module.', 'state_dict', 'safetensors'])
def test_both_towers_of_a_file_in_any_form(tmp_path, form):
    state = openai_state()
    path = tmp_path / ('a.safetensors' if form == 'safetensors' else 'RN50.pt')
    if form == 'safetensors':
        from safetensors.torch import save_file
        save_file(state, path)
    elif form == 'module.':  # open_clip's training leaves this
        torch.save({'epoch': 3, 'state_dict': {form + k: v for k, v in state.items()}}, path)
    else:
        torch.save({'state_dict': state} if form == 'state_dict' else state, path)
    image, text = image_tower(), text_encoder()
    assert load_backbone(image, path).layout == 'openai'
    load_text_encoder(text, path)
    assert holds(image, state, 'visual.') and holds(text, state)
    assert all(tensor.dtype == torch.float32 for tensor in image.state_dict().values())


def test_a_file_with_one_tower(tmp_path):
    state = openai_state()
    image, text = image_tower(), text_encoder()
    torch.save({k.removeprefix('visual.'): v for k, v in state.items() if k.startswith('visual.')},
               tmp_path / 'image.pth')
    torch.save({k: v for k, v in state.items() if not k.startswith('visual.')} |
               {'visual.class_embedding': torch.ones(3), 'attn_mask': torch.ones(10, 10)},
               tmp_path / 'text.pth')
    load_backbone(image, tmp_path / 'image.pth')
    report = load_text_encoder(text, tmp_path / 'text.pth')
    assert holds(image, state, 'visual.') and holds(text, state)
    assert set(report.aside) == {'logit_scale', 'input_resolution', 'context_length', 'vocab_size',
                                 'visual.class_embedding', 'attn_mask'}


def test_a_detector_begins_as_a_clip_and_says_what_stays_new(tmp_path):
    state = openai_state()
    torch.save(state, tmp_path / 'RN50.pt')
    model = Detector()
    before = model.roi_head['bbox_pred'].weight.clone()
    with pytest.warns(UserWarning, match=r'RN50.pt: roi_head.bbox_pred stays as initialised$'):
        report = load_checkpoint(model, tmp_path / 'RN50.pt')
    assert holds(model.backbone, state, 'visual.') and holds(model.text_encoder, state)
    assert torch.equal(before, model.roi_head['bbox_pred'].weight)
    assert report.untouched == ('roi_head.bbox_pred.weight', 'roi_head.bbox_pred.bias')
    assert 'logit_scale' in report.aside and '2 of the model not in such files' in str(report)


def test_a_pretraining_begins_with_one_tower_twice(tmp_path):
    state = openai_state()
    torch.save(state, tmp_path / 'RN50.pt')
    model = Pretraining()
    with pytest.warns(UserWarning, match='teacher_backbone begins with the weights of backbone'):
        load_checkpoint(model, tmp_path / 'RN50.pt')
    assert holds(model.backbone, state, 'visual.')
    assert holds(model.teacher_backbone, state, 'visual.')


@pytest.mark.parametrize('prefix', ['teacher_visual.', 'teacher.visual.', 'teacher_backbone.'])
def test_a_start_file_with_another_teacher(tmp_path, prefix):
    state = openai_state(prefix)
    torch.save({'model': state}, tmp_path / 'teacher_RN50x4_student_RN50_OAI_CLIP.pth')
    model = Pretraining(layers=LARGE.layers, width=LARGE.width)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load_checkpoint(model, tmp_path / 'teacher_RN50x4_student_RN50_OAI_CLIP.pth')
    assert holds(model.backbone, state, 'visual.') and holds(model.text_encoder, state)
    assert holds(model.teacher_backbone, state, prefix)
    checkpoint = read(tmp_path / 'teacher_RN50x4_student_RN50_OAI_CLIP.pth')
    write(checkpoint, tmp_path / 'again.pth', 'openai')
    assert same(read_file(tmp_path / 'again.pth').state, state)


def test_a_teacher_of_another_size_needs_a_file_with_it(tmp_path):
    torch.save(openai_state(), tmp_path / 'RN50.pt')
    model = Pretraining(width=16)
    with pytest.raises(UserError, match='of another shape: teacher_backbone'):
        load_checkpoint(model, tmp_path / 'RN50.pt')


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_a_round_trip_is_bit_equal(tmp_path, suffix):
    state = openai_state()
    torch.save(state, tmp_path / 'RN50.pt')
    own = tmp_path / f'own.{suffix}'
    report = convert_checkpoint(tmp_path / 'RN50.pt', own)
    assert report.layouts == ('openai', 'glipkit')
    assert report.model == 'custom: CLIP ResNet 8 x 1-2-1-1, embeddings of 12, text 2 x 8'
    convert_checkpoint(own, tmp_path / 'again.pth', 'openai')
    # OpenAI's own loader takes the state dict, in no entry.
    assert same(torch.load(tmp_path / 'again.pth', weights_only=True), state)
    model = Clip()
    load_checkpoint(model, own)
    assert holds(model.backbone, state, 'visual.')
    assert model.logit_scale == state['logit_scale'].float()


def test_a_clip_that_was_trained_here(tmp_path):
    """Its norms count batches, and its scale is a parameter; a detector has neither."""
    torch.manual_seed(0)
    model = Clip()
    model.backbone = type(model.backbone)(**IMAGE, frozen_norm=False)
    with torch.no_grad():
        for buffer in model.backbone.buffers():
            buffer.add_(1)
    assert 'backbone.bn1.num_batches_tracked' in model.state_dict()
    save_checkpoint(model, tmp_path / 'clip.safetensors')
    detector = Detector()
    with pytest.warns(UserWarning, match='stays as initialised'):
        load_checkpoint(detector, tmp_path / 'clip.safetensors')
    for key, tensor in detector.state_dict().items():
        assert key.startswith('roi_head') or torch.equal(tensor, model.state_dict()[key])
    load_backbone(image_tower(), tmp_path / 'clip.safetensors')
    write(read(tmp_path / 'clip.safetensors'), tmp_path / 'openai.pth', 'openai')
    again = Clip()
    again.backbone = type(model.backbone)(**IMAGE, frozen_norm=False)
    load_checkpoint(again, tmp_path / 'openai.pth')
    assert torch.equal(again.backbone.bn1.running_var, model.backbone.bn1.running_var)


@pytest.mark.parametrize(('model', 'new'), [(Detector, {'roi_head'}), (Pretraining, set()),
                                            (Clip, set())])
def test_a_training_begins_with_a_clip(tmp_path, model, new):
    state = openai_state()
    torch.save(state, tmp_path / 'RN50.pt')
    built = model()
    content = read_training_checkpoint(tmp_path / 'RN50.pt')
    fitted, remark = fit_state(built, content, 'RN50.pt')
    check_state(built, fitted, 'RN50.pt')
    assert fitted['state_dict'].keys() == built.state_dict().keys()
    assert bool(remark) == (model is not Clip)
    for key, tensor in built.state_dict().items():
        if key.partition('.')[0] in new:
            assert torch.equal(fitted['state_dict'][key], tensor)


@pytest.mark.parametrize(('change', 'problem'), [
    (lambda s: s.pop('visual.layer2.1.bn1.running_var'),
     '1 missing: backbone.layer2.1.bn1.running_var'),
    (lambda s: s.update({'visual.layer1.0.conv4.weight': torch.ones(1)}),
     '1 unexpected: backbone.layer1.0.conv4.weight'),
    (lambda s: s.update({'visual.bn1.bias': torch.ones(5)}), r'1 of another shape: backbone.bn1'),
    (lambda s: s.pop('transformer.resblocks.0.ln_1.bias'), '1 missing: text_encoder.transformer'),
    (lambda s: s.update({'more': torch.ones(1)}), '1 unexpected: more'),
    (lambda s: s.pop('visual.attnpool.c_proj.weight'), 'without it'),
    (lambda s: s.update(text_projection=torch.ones(8, 11).half()),
     'image and text features of one width; got .* with 12 and 11'),
])
def test_a_file_that_is_no_whole_clip_is_refused(tmp_path, change, problem):
    state = openai_state(counters=False)
    change(state)
    torch.save(state, tmp_path / 'RN50.pt')
    with pytest.raises(UserError, match=problem) as caught:
        convert_checkpoint(tmp_path / 'RN50.pt', tmp_path / 'own.pth')
    assert '\n' not in str(caught.value) and not (tmp_path / 'own.pth').exists()


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'variant'), [
    ('resnet50_clip', 'rn50'), ('resnet101_clip', 'rn101'), ('resnet50x4_clip', 'rn50x4')])
def test_the_layout_of_timm(tmp_path, name, variant):
    """timm's own module and ours have the same tensors, and give the same embedding."""
    from glipkit.models.backbones.clip_resnet import ClipResNet
    theirs = timm.create_model(name, pretrained=False).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, buffer in theirs.named_buffers():
            if 'running' in key:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) * 0.1 + 0.9)
    torch.save(theirs.state_dict(), tmp_path / 'timm.pth')
    ours = ClipResNet(variant).eval()
    report = load_backbone(ours, tmp_path / 'timm.pth')
    assert report.layout == 'timm' and report.loaded == len(ours.state_dict())
    side = 2 * ours.roi_size * 8
    image = torch.rand(1, 3, side, side, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(ours.embed_image(image), theirs(image), atol=1e-4, rtol=1e-3)
    write(read(tmp_path / 'timm.pth'), tmp_path / 'again.pth', 'timm')
    assert same(read_file(tmp_path / 'again.pth').state, theirs.state_dict())


def test_a_timm_file_has_no_text_encoder(tmp_path):
    state = openai_state()
    torch.save(state, tmp_path / 'RN50.pt')
    written = write(read(tmp_path / 'RN50.pt'), tmp_path / 'timm.pth', 'timm')
    assert 'text_encoder.text_projection' in written.left and 'logit_scale' in written.left
    image = image_tower()
    load_backbone(image, tmp_path / 'timm.pth')
    assert holds(image, state, 'visual.')
    with pytest.raises(UserError, match='a checkpoint with the text encoder.*--text RN50.pt') as no:
        load_checkpoint(Detector(), tmp_path / 'timm.pth')
    assert '\n' not in str(no.value)


def test_other_models_of_timm_are_none():
    assert recognise(timm.create_model('resnet18', pretrained=False).state_dict()) is None
    assert recognise(timm.create_model('resnet26t', pretrained=False).state_dict()) is None


@pytest.mark.parametrize('key', ['visual.transformer.resblocks.0.ln_1.weight',
                                 'visual.class_embedding'])
def test_vision_transformers_are_no_clip_resnets(key):
    found = recognise({key: torch.ones(1), 'text_projection': torch.ones(1)})
    assert found is None or found.family is not CLIP


def test_the_statistics_of_a_norm_are_never_those_of_a_new_model(tmp_path):
    """Even where a family says that such files need not hold them."""
    from glipkit.checkpoints.soundness import check_statistics
    own = image_tower().state_dict()
    check_statistics(own, own, 'a.pth')  # ones in the file are what the file says
    assert torch.equal(own['bn1.running_var'], torch.ones(4))
    state = {key: value for key, value in own.items() if not re.match(r'(bn2|layer)', key)}
    with pytest.raises(UserError, match='a.pth without those of bn2 and 19 more norms') as caught:
        check_statistics(state, own, 'a.pth')
    assert '\n' not in str(caught.value)


def test_a_backbone_begins_with_an_archive_in_mmengines_way(tmp_path):
    """``init_cfg=dict(type='Pretrained', ...)``; inside a runner, which runs no code of a file."""
    from glipkit.checkpoints.files import only_data
    from glipkit.models.backbones.clip_resnet import ClipResNet
    from tests.test_checkpoints.test_archives import write as write_archive
    state = openai_state()
    path = write_archive(tmp_path / 'RN50.pt', state, 'script')
    tower = ClipResNet(**IMAGE, init_cfg=dict(type='Pretrained', checkpoint=str(path),
                                              prefix='visual.'))
    with only_data():
        tower.init_weights()
    assert holds(tower, state, 'visual.')
