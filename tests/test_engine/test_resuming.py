"""Which checkpoint a training resumes from, whatever a kill has left."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from glipkit.checkpoints import read_training_checkpoint
from glipkit.cli.main import main
from glipkit.common.reporter import reporting
from glipkit.engine.resuming import POINTER, is_whole, newest_checkpoint
from tests.recorder import Recorder

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """Whole checkpoints of iterations 3, 6 and 10, of which the last is named."""
    for number in (3, 6, 10):
        torch.save({'state_dict': {'a': torch.ones(99)}, 'meta': {}, 'message_hub': {}},
                   tmp_path / f'iter_{number}.pth')
    (tmp_path / POINTER).write_text(str(tmp_path / 'iter_10.pth'))
    return tmp_path


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def test_the_named_one_comes_first(folder):
    assert newest_checkpoint(folder) == folder / 'iter_10.pth'
    (folder / POINTER).write_text(f'{folder}/iter_3.pth\n')
    assert newest_checkpoint(folder) == folder / 'iter_3.pth'


@pytest.mark.parametrize('content', [None, '', '\0' * 30, '/gone/iter_99.pth', '.'])
def test_without_a_name_the_highest_number_counts(folder, content):
    (folder / POINTER).unlink()
    if content is not None:
        (folder / POINTER).write_text(content)
    assert newest_checkpoint(folder) == folder / 'iter_10.pth'


def test_a_folder_that_was_moved(folder):
    (folder / POINTER).write_text('/elsewhere/run/iter_6.pth')
    assert newest_checkpoint(folder) == folder / 'iter_6.pth'


def test_what_is_cut_off_is_noted_and_passed_over(folder):
    cut(folder / 'iter_10.pth')
    (folder / 'iter_6.pth').write_bytes(b'')
    with reporting(Recorder()) as heard:
        assert newest_checkpoint(folder) == folder / 'iter_3.pth'
    assert ['iter_10.pth' in heard.notes[0], 'iter_6.pth' in heard.notes[1]] == [True, True]
    cut(folder / 'iter_3.pth')
    assert newest_checkpoint(folder) is None
    assert newest_checkpoint(folder / 'nowhere') is None


def test_whole(folder):
    assert is_whole(folder / 'iter_3.pth')
    cut(folder / 'iter_3.pth')
    assert not is_whole(folder / 'iter_3.pth')


def train(*words):
    assert main(['train', *map(str, words)]) == 0


@pytest.mark.slow
def test_resumed_beside_a_cut_checkpoint_gives_the_same_weights(config, tmp_path):
    train(config, '--work-dir', tmp_path / 'whole')
    train(config, '--work-dir', tmp_path / 'cut')
    folder = tmp_path / 'cut'
    for name in ('iter_8.pth', 'iter_6.pth'):
        cut(folder / name)
    (folder / POINTER).write_text('')
    (folder / '.iter_8.pth.ab_01xyz.part').write_bytes(b'of a kill')
    train(config, '--work-dir', folder, '--resume')
    one, other = (read_training_checkpoint(tmp_path / name / 'iter_8.pth')['state_dict']
                  for name in ('whole', 'cut'))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not list(folder.glob('.*.part'))


@pytest.mark.slow
def test_a_full_disk_while_training_is_one_line(config, tmp_path):
    """No checkpoint fits: the training ends at the first, without a piece of it."""
    code = ('import resource, sys, glipkit.engine.runner as runner\n'
            'from glipkit.cli.main import main\n'
            'save = runner.GroundingRunner.save_checkpoint\n'
            'def limited(*args, **kwargs):\n'
            '    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, -1))\n'
            '    return save(*args, **kwargs)\n'
            'runner.GroundingRunner.save_checkpoint = limited\n'
            'sys.exit(main(sys.argv[1:]))')
    ran = subprocess.run(
        [sys.executable, '-c', code, 'train', str(config), '--work-dir', str(tmp_path / 'run')],
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY)}, capture_output=True, text=True,
        timeout=300)
    assert ran.returncode == 2, ran.stderr
    last = ran.stderr.splitlines()[-1]
    assert last.startswith('glipkit train: error: ') and 'iter_3.pth' in last
    assert 'Traceback' not in ran.stderr
    assert not list((tmp_path / 'run').glob('*.pth')) and not list((tmp_path / 'run').glob('.*'))
