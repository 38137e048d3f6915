"""Training with less memory: what it sets, what it refuses, how it resumes."""
import shutil

import pytest
import torch

from glipkit.checkpoints.loading import read_training_checkpoint
from glipkit.cli.main import main
from glipkit.engine.optim.saving import save_memory
from glipkit.errors import UserError

ADAMW = dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True)


def test_the_norm_of_all_gradients_keeps_them():
    given = dict(type='OptimWrapper', optimizer=ADAMW, constructor='glipkit.X',
                 clip_grad=dict(max_norm=1.))
    changed, remark = save_memory(given)
    assert changed == {**given, 'optimizer': dict(type='glipkit.CompactAdamW', lr=1e-3,
                                                  weight_decay=0.05)}
    assert remark == ('moments take 2 bytes a weight, gradients are kept '
                      '(clip_grad by the norm of all gradients)')
    assert given['optimizer'] is ADAMW and ADAMW['fused']


@pytest.mark.parametrize('clip', [None, dict(type='tensor_norm', max_norm=5.)])
@pytest.mark.parametrize('kind, expected', [
    (None, 'glipkit.ClippingOptimWrapper'), ('OptimWrapper', 'glipkit.ClippingOptimWrapper'),
    ('AutocastOptimWrapper', 'glipkit.AutocastOptimWrapper')])
def test_gradients_are_released_where_no_step_changes(clip, kind, expected):
    given = dict(optimizer=dict(type='torch.optim.AdamW'), clip_grad=clip)
    changed, remark = save_memory(given if kind is None else dict(given, type=kind))
    assert changed['type'] == expected and changed['release_gradients']
    assert remark.endswith('gradients are released')


@pytest.mark.parametrize('wrapper, alone, reason', [
    (dict(), False, 'several processes'), (dict(accumulative_counts=4), True, 'counts=4'),
    (dict(type='AmpOptimWrapper', loss_scale=512.), True, 'AmpOptimWrapper')])
def test_gradients_that_are_needed_are_kept(wrapper, alone, reason):
    changed, remark = save_memory(dict(wrapper, optimizer=dict(type='AdamW')), alone)
    assert 'release_gradients' not in changed and reason in remark
    assert changed.get('type') == wrapper.get('type')


@pytest.mark.parametrize('optimizer, named', [
    (dict(type='SGD', lr=0.1, momentum=0.9), 'SGD'),
    (dict(type='AdamW', lr=0.1, amsgrad=True), 'AdamW with amsgrad')])
def test_other_optimisers_are_refused(optimizer, named):
    with pytest.raises(UserError, match=named):
        save_memory(dict(optimizer=optimizer))


@pytest.mark.slow
def test_a_training_that_saves_memory_resumes_to_the_same_weights(config, tmp_path, capsys):
    own = ['--save-memory', '--cfg-options', 'optim_wrapper.clip_grad.type=tensor_norm']
    whole, half, other = (tmp_path / name for name in ('whole', 'half', 'other'))
    assert main(['train', str(config), '--work-dir', str(whole), *own]) == 0
    assert 'gradients are released' in capsys.readouterr().out
    half.mkdir()
    shutil.copy(whole / 'iter_3.pth', half)
    assert main(['train', str(config), '--work-dir', str(half), '--resume', *own]) == 0
    a, b = (read_training_checkpoint(folder / 'iter_8.pth') for folder in (whole, half))
    assert all(torch.equal(a['state_dict'][key], b['state_dict'][key]) for key in a['state_dict'])
    moments = [state for state in a['optimizer']['state'].values() if 'scales' in state]
    assert moments and all(state['exp_avg'].dtype == torch.int8 for state in moments)
    other.mkdir()
    shutil.copy(whole / 'iter_3.pth', other)
    capsys.readouterr()
    assert main(['train', str(config), '--work-dir', str(other), '--resume']) == 2
    assert 'optimizer' in capsys.readouterr().err.splitlines()[-1]
