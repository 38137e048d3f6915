"""What a training begins with: weights of another model whose parts it has."""
from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from glipkit.apis.build import load
from glipkit.checkpoints import save_checkpoint, write
from glipkit.checkpoints.layouts import read
from glipkit.engine.runner import GroundingRunner
from glipkit.errors import UserError
from glipkit.testing import tiny_pretraining


@pytest.fixture
def clip_file(tmp_path):
    """A CLIP under OpenAI's names, with statistics that no new model has."""
    model = load(tiny_pretraining.write_config(tmp_path), 'random')
    with torch.no_grad():
        for buffer in model.backbone.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    save_checkpoint(model, tmp_path / 'clip.safetensors')
    write(read(tmp_path / 'clip.safetensors'), tmp_path / 'clip.pth', 'openai')
    return tmp_path / 'clip.pth'


def runner(model, resumes=False):
    logger = logging.getLogger('first weights')
    return SimpleNamespace(model=model, logger=logger, _resumes=resumes, work_dir='',
                           call_hook=lambda *_, **__: None)


def test_a_pretraining_begins_with_a_clip_and_says_how(clip_file, tmp_path, caplog):
    model = load(tiny_pretraining.write_config(tmp_path, tiny_pretraining.REGIONS, 'r.py'),
                 'random')
    with caplog.at_level(logging.INFO, 'first weights'):
        GroundingRunner.load_checkpoint(runner(model), clip_file)
    wanted = read(clip_file).state
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, wanted[key.removeprefix('teacher_')])
    assert 'teacher_backbone begins with the weights of backbone' in caplog.text


def test_a_clip_continues_with_norms_that_learn(clip_file, tmp_path):
    model = load(tiny_pretraining.write_config(tmp_path), 'random')
    GroundingRunner.load_checkpoint(runner(model), clip_file)
    wanted = read(clip_file).state
    for key, tensor in model.state_dict().items():
        assert key.endswith('num_batches_tracked') or torch.equal(tensor, wanted[key])


def test_statistics_are_never_those_of_a_new_model(clip_file, tmp_path):
    """Not even where somebody asks for a load that is not strict."""
    model = load(tiny_pretraining.write_config(tmp_path), 'random')
    state = {key: tensor for key, tensor in read(clip_file).state.items()
             if key != 'backbone.layer1.0.bn2.running_var'}
    torch.save({'state_dict': state}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='1 missing: backbone.layer1.0.bn2.running_var'):
        GroundingRunner.load_checkpoint(runner(model), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='without those of backbone.layer1.0.bn2;'):
        GroundingRunner.load_checkpoint(runner(model), tmp_path / 'a.pth', strict=False)
