"""Models of no known family, families that register themselves, and what the general core knows."""
from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from glipkit import checkpoints
from glipkit.apis.convert import convert_checkpoint
from glipkit.checkpoints import (
    Checkpoint,
    family,
    known_layouts,
    load_backbone,
    load_checkpoint,
    load_text_encoder,
    read,
    read_training_checkpoint,
    save_checkpoint,
    to_layout,
)
from glipkit.checkpoints.files import read_training_state
from glipkit.checkpoints.glip import GLIP
from glipkit.errors import UserError

from .tiny import TINY, random_state


class Second(nn.Module):
    """A detector of a method that no folder of layouts is about."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))
        self.text_encoder = nn.Embedding(7, width)
        self.roi_head = nn.Linear(width, 4)


def equal(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), two.state_dict().items(), strict=True)
    return all(k == m and torch.equal(a, b) for (k, a), (m, b) in pairs)


@pytest.fixture
def model() -> Second:
    torch.manual_seed(0)
    return Second()


@pytest.mark.parametrize('name', ['a.safetensors', 'a.pth'])
def test_any_detector_is_saved_and_loaded(model, tmp_path, name):
    digest = save_checkpoint(model, tmp_path / name)
    other = Second()
    assert not equal(model, other)
    report = load_checkpoint(other, tmp_path / name)
    assert equal(model, other)
    assert (report.sha256, report.layout, report.loaded) == (digest, 'glipkit', 10)
    assert read(tmp_path / name).state.keys() == model.state_dict().keys()


@pytest.mark.parametrize('form', ['alone', 'state_dict', 'training', 'wrapped'])
def test_plain_state_dicts_of_any_detector_load(model, tmp_path, form):
    state = model.state_dict()
    if form == 'wrapped':
        state = nn.DataParallel(model).state_dict()
    content = {'alone': state, 'wrapped': state}.get(form, {'state_dict': state})
    if form == 'training':
        content = {**content, 'meta': {'epoch': 3}, 'message_hub': {}}
    torch.save(content, tmp_path / 'a.pth')
    other = Second()
    load_checkpoint(other, tmp_path / 'a.pth')
    assert equal(model, other)
    assert torch.equal(read_training_checkpoint(tmp_path / 'a.pth')['state_dict']
                       ['roi_head.weight'], model.roi_head.weight)


@pytest.mark.parametrize(('change', 'problem'), [
    (lambda s: s.pop('backbone.1.num_batches_tracked'), '1 missing: backbone.1.num_batches'),
    (lambda s: s.update({'roi_head.more': torch.ones(1)}), '1 unexpected: roi_head.more'),
    (lambda s: s.update({'roi_head.bias': torch.ones(5)}), r'1 of another shape: .* \[5\]'),
])
def test_any_detector_is_loaded_strictly(model, tmp_path, change, problem):
    state = dict(model.state_dict())
    change(state)
    torch.save(state, tmp_path / 'a.pth')
    other, before = Second(), Second()
    before.load_state_dict(other.state_dict())
    with pytest.raises(UserError, match=f'a checkpoint of Second; .*{problem}'):
        load_checkpoint(other, tmp_path / 'a.pth')
    assert equal(other, before)


def test_a_file_that_shares_no_tensor_with_the_model(model, tmp_path):
    torch.save({'conv1.weight': torch.ones(1)}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='official, mmdet, glipkit.*such as conv1.weight'):
        load_checkpoint(model, tmp_path / 'a.pth')


def test_a_checkpoint_of_a_family_is_not_one_of_another_model(model, tmp_path):
    torch.save(to_layout(Checkpoint(random_state(TINY)), 'official').state, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=re.escape(f'a checkpoint of Second; got {tmp_path}')):
        load_checkpoint(model, tmp_path / 'a.pth')


def test_parts_of_any_detector(model, tmp_path):
    save_checkpoint(model, tmp_path / 'whole.pth')
    torch.save(model.backbone.state_dict(), tmp_path / 'backbone.pth')
    for name in ('whole.pth', 'backbone.pth'):
        other = Second()
        load_backbone(other.backbone, tmp_path / name)
        assert equal(model.backbone, other.backbone)
    other = Second()
    assert len(load_text_encoder(other.text_encoder, tmp_path / 'whole.pth').aside) == 9
    assert equal(model.text_encoder, other.text_encoder)
    with pytest.raises(UserError, match='weights of this backbone'):
        load_backbone(Second(5).backbone, tmp_path / 'whole.pth')


def test_only_our_own_files_of_no_family_are_converted(model, tmp_path):
    save_checkpoint(model, tmp_path / 'a.pth')
    report = convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.safetensors')
    assert report.model == 'custom: of no known family' and report.written == 10
    other = Second()
    load_checkpoint(other, tmp_path / 'b.safetensors')
    assert equal(model, other)
    with pytest.raises(UserError, match='a family that has the official layout'):
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'c.pth', 'official')
    torch.save(model.state_dict(), tmp_path / 'd.pth')
    with pytest.raises(UserError, match='tensors such as backbone'):
        convert_checkpoint(tmp_path / 'd.pth', tmp_path / 'e.pth')


def test_a_family_that_registers_itself_is_read_and_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(family, '_families', dict(family._families))

    def detect(keys):
        return next(((layout, '') for key in keys for layout, stem in
                     (('theirs', 'box.'), ('glipkit', 'roi_head.')) if key.startswith(stem)), None)

    def renamed(state, old, new):
        return {key.replace(old, new): tensor for key, tensor in state.items()}

    checkpoints.register(dataclasses.replace(
        GLIP, name='Second', containers={'theirs': 'net'}, detect=detect, variant=lambda s: 'toy',
        to_own=lambda state, layout, prefix, path:
            Checkpoint(renamed(state, 'box.', 'roi_head.'), layout),
        from_own=lambda checkpoint, layout:
            family.Translated(renamed(checkpoint.state, 'roi_head.', 'box.'), 0, ()),
        derived=family.never))
    assert known_layouts() == ('openai', 'timm', 'eva', 'open_clip', 'fvit', 'official', 'mmdet',
                               'theirs', 'glipkit')
    save_checkpoint(model, tmp_path / 'own.safetensors')
    checkpoints.write(read(tmp_path / 'own.safetensors'), tmp_path / 'a.pth', 'theirs')
    assert list(torch.load(tmp_path / 'a.pth', weights_only=True)) == ['net']
    torch.save({'model': torch.load(tmp_path / 'a.pth', weights_only=True)['net']},
               tmp_path / 'b.pth')
    other = Second()
    assert load_checkpoint(other, tmp_path / 'b.pth').layout == 'theirs'
    assert equal(model, other)
    with pytest.raises(UserError, match='one of theirs, glipkit as layout of a Second model'):
        to_layout(read(tmp_path / 'own.safetensors'), 'official')


def test_the_general_modules_know_no_method():
    folder = Path(checkpoints.__file__).parent
    names = re.compile(r'\b(GLIP|glip|Swin|BERT|bbox_head|dyhead|dyconv|\w*CLIP|\w*clip|attnpool|'
                       r'roi_head|teacher_backbone)\b')
    for path in folder.glob('*.py'):
        # The package's docstring names the folder beside it.
        text = path.read_text().replace(':mod:`.glip`', '')
        assert not names.search(text), path.name


def test_importing_the_package_brings_neither_a_family_nor_a_model():
    code = ('import sys, glipkit.checkpoints; '
            'print([m for m in sys.modules if m.startswith(("glipkit.models", "glipkit.text", '
            '"glipkit.checkpoints.glip", "mmdet"))])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=True, timeout=120)
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize('source', ['[1]', 'no json', '{"layout": ["official"]}'])
def test_damaged_words_about_a_source_are_one_clear_error(model, tmp_path, source):
    torch.save({'state_dict': random_state(TINY),
                'meta': {'format': 'glipkit', 'version': '1', 'source': source}},
               tmp_path / 'a.pth')
    with pytest.raises(UserError, match="metadata 'source' is JSON"):
        read(tmp_path / 'a.pth')


def test_no_config_comes_out_of_a_checkpoint(model, tmp_path):
    # mmengine's resume runs the text under 'config' as Python.
    text = f'open({str(tmp_path / "trace")!r}, "w")'
    torch.save({'state_dict': model.state_dict(), 'message_hub': {},
                'meta': {'epoch': 3, 'config': text, 'cfg': text}}, tmp_path / 'a.pth')
    for content in (read_training_state(tmp_path / 'a.pth'),
                    read_training_checkpoint(tmp_path / 'a.pth')):
        assert content['meta'] == {'epoch': 3}
