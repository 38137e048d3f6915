"""Weights between two models: by command, and while a model trains."""
from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook
from torch import nn

from glipkit.apis.convert import convert_checkpoint
from glipkit.checkpoints import load_checkpoint, save_checkpoint
from glipkit.checkpoints.interpolation import between
from glipkit.cli.main import main
from glipkit.engine.hooks.interpolate import InterpolateHook
from glipkit.errors import UserError
from glipkit.registry import MODELS
from tests import clipself_golden as golden


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A student and what it began with, as EVA-CLIP's files."""
    folder = tmp_path_factory.mktemp('files')
    shapes = golden.official_keys('eva_tiny')
    for name, make in (('student', golden.student), ('origin', golden.weight)):
        torch.save({key: make(key, shape) for key, shape in shapes.items()}, folder / f'{name}.pt')
    return folder


def convert(files, target, *words):
    return main(['convert', str(files / 'student.pt'), str(target), *map(str, words)])


def state(path):
    from glipkit.checkpoints import read
    return read(path).state


@pytest.mark.parametrize('alpha', [1., 0.7, 0.])
def test_every_tensor_is_mixed(files, tmp_path, alpha, capsys):
    assert convert(files, tmp_path / 'mixed.safetensors', '--interpolate', files / 'origin.pt',
                   '--alpha', alpha) == 0
    assert f'mixed    {alpha:g} of it' in capsys.readouterr().out
    mixed, student, origin = (state(path) for path in (
        tmp_path / 'mixed.safetensors', files / 'student.pt', files / 'origin.pt'))
    assert mixed.keys() == student.keys() and 'logit_scale' in mixed
    for key, tensor in mixed.items():
        wanted = alpha * student[key] + (1 - alpha) * origin[key]
        assert torch.equal(tensor, wanted) if alpha in (0, 1) else torch.allclose(
            tensor, wanted, atol=1e-6), key


@pytest.mark.parametrize('words, said', [
    (['--interpolate', '{origin}', '--alpha', '1.5'], 'alpha from 0 to 1'),
    (['--interpolate', '{origin}', '--alpha', 'nan'], 'alpha from 0 to 1'),
    (['--interpolate', '{origin}'], 'one of them'), (['--alpha', '0.5'], 'one of them'),
    (['--interpolate', '{short}', '--alpha', '0.5'], 'missing')])
def test_what_cannot_be_mixed_is_one_line(files, tmp_path, words, said, capsys):
    shapes = golden.official_keys('eva_tiny')
    short = {key: golden.weight(key, shape) for key, shape in shapes.items()
             if not key.startswith('text.')}
    torch.save(short, tmp_path / 'short.pt')
    words = [word.format(origin=files / 'origin.pt', short=tmp_path / 'short.pt')
             for word in words]
    assert convert(files, tmp_path / 'mixed.safetensors', *words) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1
    assert not (tmp_path / 'mixed.safetensors').exists()


def test_a_training_file_is_mixed_without_its_teacher(files, tmp_path):
    own = state(files / 'student.pt')
    tower = {key: tensor for key, tensor in own.items() if key.startswith('backbone.')}
    torch.save({'state_dict': {**tower, **{f'teacher_{key}': t for key, t in tower.items()}},
                'meta': {}}, tmp_path / 'iter_9.pth')
    convert_checkpoint(tmp_path / 'iter_9.pth', tmp_path / 'mixed.safetensors',
                       text=files / 'origin.pt', interpolate=files / 'origin.pt', alpha=0.7)
    mixed, origin = state(tmp_path / 'mixed.safetensors'), state(files / 'origin.pt')
    assert mixed.keys() == origin.keys()
    key = 'backbone.head.weight'
    assert torch.allclose(mixed[key], 0.7 * tower[key] + 0.3 * origin[key], atol=1e-6)


def test_a_distillation_begins_with_a_clip_and_its_result_reads_words(files, tmp_path):
    tower = dict(type='glipkit.EvaViT', image_size=64, patch=16, width=128, layers=3, heads=2,
                 embed_dim=64)
    distilled = MODELS.build(dict(type='glipkit.ClipSelfPretrainer', backbone=tower))
    with pytest.warns(UserWarning, match='teacher_backbone begins with the weights of backbone$'):
        load_checkpoint(distilled, files / 'origin.pt')
    origin = state(files / 'origin.pt')
    for key, tensor in distilled.state_dict().items():
        assert torch.equal(tensor, origin[key.removeprefix('teacher_')]), key
    save_checkpoint(distilled, tmp_path / 'distilled.safetensors')
    convert_checkpoint(tmp_path / 'distilled.safetensors', tmp_path / 'words.safetensors',
                       text=files / 'origin.pt')
    words = dict(type='glipkit.ClipTextEncoder', width=64, heads=2, layers=2, embed_dim=64)
    dense = MODELS.build(dict(type='glipkit.DenseClip', backbone=tower, text_encoder=words))
    load_checkpoint(dense, tmp_path / 'words.safetensors')
    assert all(torch.equal(tensor, origin[key]) for key, tensor in dense.state_dict().items())


def test_formats_and_whole_numbers_are_the_first_ones():
    one = dict(a=torch.ones(2).half(), n=torch.tensor(3))
    found = between(one, dict(a=torch.zeros(2), n=torch.tensor(5)), 0.25)
    assert found['a'].dtype == torch.float16 and found['a'].tolist() == [0.25] * 2
    assert found['n'] == 3
    with pytest.raises(UserError, match='another shape'):
        between(one, dict(a=torch.zeros(3), n=torch.tensor(5)), 0.25)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.teacher_backbone = nn.Linear(1, 1), nn.Linear(1, 1)
        for part, value in ((self.backbone, 4.), (self.teacher_backbone, 0.)):
            nn.init.constant_(part.weight, value)


def runner_of(model, *hooks):
    return SimpleNamespace(model=model, hooks=hooks, _resume=True)


def test_an_evaluation_sees_the_mixture_and_a_training_does_not():
    model, hook = Pair(), InterpolateHook(0.75)
    runner = runner_of(model, hook)
    hook.before_run(runner)
    hook.before_val_epoch(runner)
    assert model.backbone.weight.item() == 3
    hook.after_val_epoch(runner)
    assert model.backbone.weight.item() == 4


def test_a_file_has_the_mixture_and_a_resumed_training_what_was_learned():
    hook = InterpolateHook(0.75)
    content = {'state_dict': Pair().state_dict()}
    hook.before_save_checkpoint(runner_of(Pair()), content)
    assert content['state_dict']['backbone.weight'].item() == 3
    assert content['state_dict']['teacher_backbone.weight'].item() == 0
    hook.after_load_checkpoint(runner_of(Pair()), content)
    assert content['state_dict']['backbone.weight'].item() == 4


def test_a_hook_that_cannot_work_is_one_line_before_the_training():
    with pytest.raises(UserError, match='alpha'):
        InterpolateHook(-0.1)
    with pytest.raises(UserError, match="'neck'"):
        InterpolateHook(0.5, origin='neck').before_run(runner_of(Pair()))
    with pytest.raises(UserError, match='both'):
        InterpolateHook(0.5).before_run(runner_of(Pair(), EMAHook()))
