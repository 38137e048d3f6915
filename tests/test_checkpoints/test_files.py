"""Reading without running anything, and writing whole or not at all."""
from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from safetensors.torch import save_file

from glipkit.checkpoints.files import (
    check_target,
    read_file,
    read_training_state,
    write_pickle,
    write_safetensors,
)
from glipkit.common.digests import file_sha256
from glipkit.errors import UserError
from glipkit.files import atomic

WEIGHTS = {'a.weight': torch.arange(6.).reshape(2, 3), 'a.steps': torch.tensor(3)}


class Touch:
    """Makes a file when it is unpickled by anything that obeys."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f'touch {self.path}', )


class TouchByEval(Touch):

    def __reduce__(self):
        return eval, (f'open({self.path!r}, "w")', )


class GetAttribute(Touch):
    """Asks for an attribute through the one name that training checkpoints need."""

    def __reduce__(self):
        return getattr, (np.ndarray, 'tofile')


@pytest.mark.parametrize('attack', [Touch, TouchByEval, GetAttribute])
@pytest.mark.parametrize('legacy', [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path, attack, legacy):
    trace, path = tmp_path / 'trace', tmp_path / 'evil.pth'
    torch.save({'state_dict': WEIGHTS, 'meta': attack(trace)}, path,
               _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError) as caught:
        read_file(path)
    assert 'glipkit never runs code from a checkpoint' in str(caught.value)
    assert '\n' not in str(caught.value)
    assert not trace.exists()


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_a_bare_evil_pickle_is_refused(tmp_path):
    trace, path = tmp_path / 'trace', tmp_path / 'evil.pth'
    path.write_bytes(pickle.dumps(Touch(trace)))
    with pytest.raises(UserError):
        read_file(path)
    assert not trace.exists()


def _history() -> MessageHub:
    hub = MessageHub('test_files')
    hub.update_scalar('train/loss', 1.5)
    hub.update_scalar('train/loss', torch.tensor(0.5))
    hub.update_info('iter', 2)
    hub.update_info('best', np.float64(0.25))
    hub.update_info('random', np.random.RandomState(0).get_state())
    return hub


@pytest.fixture
def trained(tmp_path) -> Path:
    torch.save({'meta': {'epoch': 1, 'args': argparse.Namespace(seed=1)}, 'state_dict': WEIGHTS,
                'message_hub': _history().state_dict(), 'ema_state_dict': {'other': torch.ones(1)},
                'optimizer': {'state': {}, 'param_groups': [{'lr': np.float32(0.1)}]}},
               tmp_path / 'epoch_1.pth')
    return tmp_path / 'epoch_1.pth'


def test_weights_of_a_training_checkpoint(trained):
    raw = read_file(trained)
    assert raw.state.keys() == WEIGHTS.keys()
    assert raw.ignored == ('ema_state_dict', 'message_hub', 'optimizer')


def test_everything_of_a_training_checkpoint(trained):
    content = read_training_state(trained)
    buffer = content['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.mean() == 1.0
    assert content['message_hub']['runtime_info']['best'] == 0.25
    state = content['message_hub']['runtime_info']['random']
    assert np.array_equal(state[1], np.random.RandomState(0).get_state()[1])
    assert content['meta']['args'].seed == 1
    assert content['optimizer']['param_groups'][0]['lr'] == np.float32(0.1)


def test_only_data_of_a_training_checkpoint_is_handed_on(tmp_path):
    hub, path = _history().state_dict(), tmp_path / 'a.pth'
    hub['log_scalars']['train/loss'].mean = HistoryBuffer  # would be called in place of its own
    weights = torch.nn.BatchNorm1d(2).state_dict()
    torch.save({'meta': {'epoch': 1, 'config': 'raise SystemExit', 'cfg': 'raise SystemExit'},
                'state_dict': weights, 'message_hub': hub}, path)
    content = read_training_state(path)
    assert content['meta'] == {'epoch': 1}
    assert vars(content['message_hub']['log_scalars']['train/loss']).keys() == \
        vars(HistoryBuffer()).keys()
    assert content['message_hub']['log_scalars']['train/loss'].mean() == 1.0
    assert content['state_dict']._metadata == weights._metadata


@pytest.mark.parametrize('value', [HistoryBuffer, [np.ndarray]])
def test_classes_in_a_training_checkpoint_are_refused(tmp_path, value):
    path = tmp_path / 'a.pth'
    torch.save({'meta': {'epoch': 1}, 'state_dict': WEIGHTS, 'message_hub': {},
                'optimizer': {'state': {'step': value}}}, path)
    with pytest.raises(UserError, match=r'optimizer\.state\.step'):
        read_training_state(path)


def test_reading_leaves_torchs_own_list_of_safe_classes_alone(trained):
    before = set(torch.serialization.get_safe_globals())
    read_file(trained)
    assert set(torch.serialization.get_safe_globals()) == before


def test_weights_alone_are_no_training_checkpoint(tmp_path):
    torch.save({'model': WEIGHTS}, tmp_path / 'a.pth')
    save_file(WEIGHTS, tmp_path / 'a.safetensors')
    assert read_training_state(tmp_path / 'a.pth') is None
    assert read_training_state(tmp_path / 'a.safetensors') is None


@pytest.mark.parametrize('content', [WEIGHTS, {'state_dict': WEIGHTS, 'x': 1}, {'model': WEIGHTS},
                                     {'model': WEIGHTS, 'model_ema': {'b': torch.ones(1)}}])
@pytest.mark.parametrize('legacy', [False, True])
def test_containers(tmp_path, content, legacy):
    torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=not legacy)
    state = read_file(tmp_path / 'a.pth').state
    assert state.keys() == WEIGHTS.keys()
    assert all(torch.equal(state[key], WEIGHTS[key]) for key in WEIGHTS)


def test_safetensors_is_known_by_its_content(tmp_path):
    save_file(WEIGHTS, tmp_path / 'a.bin', {'format': 'pt'})
    raw = read_file(tmp_path / 'a.bin')
    assert raw.state.keys() == WEIGHTS.keys()
    assert raw.metadata == {'format': 'pt'}


@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors'])
@pytest.mark.parametrize('kept', [0.0, 0.3, 0.9])
def test_a_truncated_file_is_one_clear_error(tmp_path, name, kept):
    whole = tmp_path / 'whole'
    if name.endswith('.pth'):
        torch.save({'model': {'a': torch.rand(5000)}}, whole)
    else:
        save_file({'a': torch.rand(5000)}, whole)
    data = whole.read_bytes()
    (tmp_path / name).write_bytes(data[:int(len(data) * kept)])
    with pytest.raises(UserError, match='complete') as caught:
        read_file(tmp_path / name)
    assert name in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(('content', 'said'), [
    (b'<!DOCTYPE html><html>404</html>', 'no checkpoint'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:00', 'git lfs pull'),
    (b'\x80\x02}q\x00.', 'no checkpoint'),
    (b'{"categories": []}', 'no checkpoint'),
])
def test_what_is_no_checkpoint_is_one_clear_error(tmp_path, content, said):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_file(tmp_path / 'a.pth')
    assert '\n' not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match='no such file'):
        read_file(tmp_path / 'none.pth')
    with pytest.raises(UserError, match='a folder'):
        read_file(tmp_path)


@pytest.mark.parametrize('content', [{'epoch': 3}, [torch.ones(1)], {'model': {'a': 3}}])
def test_a_pickle_without_weights(tmp_path, content):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='a state dict'):
        read_file(tmp_path / 'a.pth')


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.pth'
    write_pickle({'state_dict': WEIGHTS}, path)
    before = file_sha256(path)
    with pytest.raises(Exception, match='pickle|local object'):  # as Python's version words it
        write_pickle({'state_dict': WEIGHTS, 'bad': lambda: 0}, path)
    with pytest.raises(KeyboardInterrupt), atomic(path) as temporary:
        temporary.write_text('half')
        raise KeyboardInterrupt
    assert [item.name for item in tmp_path.iterdir()] == ['a.pth']
    assert file_sha256(path) == before


def test_written_files_have_ordinary_permissions(tmp_path):
    (tmp_path / 'plain').touch()
    write_pickle({}, tmp_path / 'a.pth')
    assert (tmp_path / 'a.pth').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_targets(tmp_path):
    (tmp_path / 'there.pth').touch()
    assert check_target(tmp_path / 'new.pth') == tmp_path / 'new.pth'
    assert check_target(tmp_path / 'there.pth', force=True) == tmp_path / 'there.pth'
    with pytest.raises(UserError, match='--force'):
        check_target(tmp_path / 'there.pth')
    with pytest.raises(UserError, match='ends in'):
        check_target(tmp_path / 'new.onnx')
    with pytest.raises(UserError, match='existing folder'):
        check_target(tmp_path / 'none' / 'new.pth')


def test_equal_weights_give_equal_safetensors(tmp_path):
    state = {'b': torch.arange(6.).view(2, 3), 'a': torch.ones(3, dtype=torch.int64)}
    metadata = {f'key {i}': 'ä "quoted" \\ line\n\ttab' for i in range(9)}
    for name in ('1', '2'):
        write_safetensors(state, tmp_path / f'{name}.safetensors', metadata)
    assert (tmp_path / '1.safetensors').read_bytes() == (tmp_path / '2.safetensors').read_bytes()
    raw = read_file(tmp_path / '1.safetensors')
    assert raw.metadata == metadata
    assert all(torch.equal(raw.state[key], tensor) for key, tensor in state.items())
