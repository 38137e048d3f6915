"""``glipkit convert`` on files."""
from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest
import torch

from glipkit.apis.index import shipped_weights
from glipkit.checkpoints import hub
from glipkit.checkpoints.files import read_file
from glipkit.common.digests import file_sha256


class Touch:

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}', )


def test_all_layouts_both_ways(run, files, tmp_path):
    there = tmp_path / 'official.pth'
    ran = run('convert', files.checkpoint, there, '--to', 'official')
    assert ran.code == 0 and ran.err == ''
    assert file_sha256(there) in ran.out and file_sha256(files.checkpoint) in ran.out
    assert '(glipkit)' in ran.out and '(official)' in ran.out
    assert run('convert', there, tmp_path / 'mm.pth', '--to', 'mmdet').code == 0
    assert run('convert', tmp_path / 'mm.pth', tmp_path / 'own.safetensors').code == 0
    assert run('convert', tmp_path / 'own.safetensors', tmp_path / 'again.pth', '--to',
               'official').code == 0
    one, two = (torch.load(path, weights_only=True)['model']
                for path in (there, tmp_path / 'again.pth'))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_an_existing_file_is_not_replaced_without_force(run, refuse, files, tmp_path):
    target = tmp_path / 'a.safetensors'
    target.write_text('old')
    assert '--force' in refuse('convert', files.checkpoint, target)
    assert target.read_text() == 'old'
    assert run('convert', files.checkpoint, target, '--force').code == 0
    assert target.stat().st_size > 1000


def test_a_missing_file(refuse, tmp_path):
    assert 'no such file' in refuse('convert', tmp_path / 'none.pth', tmp_path / 'b.safetensors')


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_truncated_file(refuse, run, files, tmp_path, suffix):
    source = tmp_path / f'whole{suffix}'
    run('convert', files.checkpoint, source)
    source.write_bytes(source.read_bytes()[:-1000])
    assert 'complete' in refuse('convert', source, tmp_path / 'b.safetensors')


def test_a_file_of_another_kind(refuse, files, tmp_path):
    assert 'no checkpoint' in refuse('convert', files.config, tmp_path / 'b.safetensors')


def test_a_checkpoint_of_another_model(refuse, tmp_path):
    torch.save({'state_dict': {'backbone.conv1.weight': torch.ones(1)}}, tmp_path / 'a.pth')
    assert 'backbone.conv1.weight' in refuse('convert', tmp_path / 'a.pth', tmp_path / 'b.pth')


def test_a_pickle_that_would_run_code(refuse, tmp_path):
    torch.save({'model': {'a': torch.ones(1)}, 'x': Touch(tmp_path / 'trace')}, tmp_path / 'a.pth')
    assert 'never runs code' in refuse('convert', tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert not (tmp_path / 'trace').exists()


@pytest.mark.parametrize('target', ['b.onnx', 'none/b.pth', '.'])
def test_a_target_that_cannot_be_written(refuse, files, tmp_path, target):
    refuse('convert', files.checkpoint, tmp_path / target)


def test_a_hub_name_without_a_network(refuse, monkeypatch, tmp_path):
    import huggingface_hub

    def fail(*args, **_):
        raise ConnectionError('no route')

    monkeypatch.setattr(hub, 'no_connection', lambda: None)
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', fail)
    assert 'no route' in refuse('convert', 'owner/repository:a.pth', tmp_path / 'b.pth')


def test_a_model_with_another_backbone(run, refuse, tmp_path):
    """The shipped mini model's tower is no Swin: it has our own layout alone."""
    source = shipped_weights('glip-mini')
    pickled, back = tmp_path / 'a.pth', tmp_path / 'b.safetensors'
    assert 'no Swin' in run('convert', source, pickled).out
    assert run('convert', pickled, back).code == 0
    one, two = read_file(source).state, read_file(back).state
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    for layout in ('official', 'mmdet'):
        assert 'Swin' in refuse('convert', source, tmp_path / 'c.pth', '--to', layout)


def test_a_part_of_a_model_with_another_backbone(refuse, tmp_path):
    state = read_file(shipped_weights('glip-mini')).state
    part = {key: tensor for key, tensor in state.items() if not key.startswith('neck.')}
    torch.save(part, tmp_path / 'part.pth')
    assert 'without neck' in refuse('convert', tmp_path / 'part.pth', tmp_path / 'b.pth')


def test_half_precision_for_a_model_that_is_named(run, refuse, files, tmp_path):
    target = tmp_path / 'half.safetensors'
    assert run('convert', files.checkpoint, target, '--dtype', 'float16', '--config',
               files.config).code == 0
    one, two = read_file(files.checkpoint).state, read_file(target).state
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        kind = torch.float16 if tensor.is_floating_point() else tensor.dtype
        assert two[key].dtype == kind and torch.equal(two[key], tensor.to(kind))
    assert 'pass the config that the checkpoint belongs to' in refuse(
        'convert', files.checkpoint, tmp_path / 'b.pth', '--config', 'glip-mini')


def test_the_script_that_exports(run, files, tmp_path, capfd):
    export = runpy.run_path(str(Path(__file__).parents[2] / 'tools/export.py'))['main']
    run('convert', files.checkpoint, tmp_path / 'trained.pth')
    half, whole = tmp_path / 'half.safetensors', tmp_path / 'whole.safetensors'
    assert export([files.config, str(tmp_path / 'trained.pth'), str(half)]) == 0
    assert f'sha256   {file_sha256(half)}' in capfd.readouterr().out
    assert export([files.config, str(tmp_path / 'trained.pth'), str(whole), '--float32']) == 0
    state, halved = read_file(whole).state, read_file(half).state
    assert all(torch.equal(state[key], tensor)
               for key, tensor in read_file(files.checkpoint).state.items())
    assert all(torch.equal(halved[key], tensor.half() if tensor.is_floating_point() else tensor)
               for key, tensor in state.items())
    assert export([files.config, str(tmp_path / 'trained.pth'), str(half)]) == 2
    assert '--force' in capfd.readouterr().err
    assert export([files.config, str(tmp_path / 'trained.pth'), str(half), '--force']) == 0
