"""Training through the command line: kills, resumes, processes, precision, errors."""
from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from glipkit.apis.build import build_model
from glipkit.apis.training import build_runner, load_config, set_max_iters
from glipkit.checkpoints import read_training_checkpoint
from glipkit.cli.main import main
from glipkit.common import precision
from glipkit.engine.runner import _is_for_people
from glipkit.errors import UserError
from glipkit.reports.pictures import read_scalars

REPOSITORY = Path(__file__).parents[2]
KILLER = '''
import os, signal, sys
from glipkit.cli.main import main
from glipkit.engine.hooks.iter_seed import IterSeedHook

def kill(self, runner, batch_idx, **_):
    if batch_idx == 4:
        os.kill(os.getpid(), signal.SIGKILL)

IterSeedHook.after_train_iter = kill
sys.exit(main(sys.argv[1:]))
'''


def run(*arguments: str, program: tuple[str, ...] = ('-m', 'glipkit.cli.main')):
    # As many threads as here: sums of another number of threads round otherwise.
    environment = dict(os.environ, OMP_NUM_THREADS=str(torch.get_num_threads()),
                       PYTHONPATH=str(REPOSITORY))
    return subprocess.run([sys.executable, *program, *map(str, arguments)], env=environment,
                          capture_output=True, text=True, timeout=300)


def final(work_dir: Path, name: str = 'iter_8.pth') -> dict:
    return read_training_checkpoint(work_dir / name)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(config, tmp_path):
    """SIGKILL after 5 iterations with a checkpoint at 3: weights, averages, losses and AP of an
    uninterrupted run come out."""
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'whole')]) == 0
    killed = run('train', config, '--work-dir', tmp_path / 'killed', program=('-c', KILLER))
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / 'killed' / 'iter_8.pth').exists()
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'killed'), '--resume']) == 0
    a, b = final(tmp_path / 'whole'), final(tmp_path / 'killed')
    assert 'ema_state_dict' in a
    for part in ('state_dict', 'ema_state_dict'):
        assert a[part].keys() == b[part].keys()
        for key in a[part]:
            assert torch.equal(a[part][key], b[part][key]), key
    losses = [[(e['step'], e['loss']) for e in read_scalars(tmp_path / d).training]
              for d in ('whole', 'killed')]
    assert len(losses[0]) == 8 and losses[0] == losses[1]


@pytest.mark.slow
def test_what_a_training_prints_into_a_pipe(config, tmp_path):
    ran = run('train', config, '--work-dir', tmp_path / 'run', '--cfg-options',
              'train_cfg.max_iters=2', 'train_cfg.val_interval=2')
    assert ran.returncode == 0, ran.stderr
    printed = ran.stdout + ran.stderr
    assert '\r' not in printed and 'Hooks will be executed' not in printed
    assert 'Iter(train)' in printed  # the log is there
    log, = (tmp_path / 'run').glob('*/*.log')
    assert 'Hooks will be executed' in log.read_text()


@pytest.mark.parametrize(('line', 'shown'), [
    ('teacher_backbone.blocks.0.attn.q_bias is skipped since its requires_grad=False', False),
    ('paramwise_options -- backbone.blocks.0.norm1.weight:weight_decay=0.0', False),
    ('a.weight is duplicate. It is skipped since bypass_duplicate=True', True)])
def test_lists_of_parameters_are_for_the_log_file(line, shown):
    assert _is_for_people(logging.makeLogRecord(dict(msg=line))) == shown


@pytest.mark.slow
def test_two_processes_see_the_batch_of_one(config, tmp_path):
    """On gloo, two ranks with one image each make the step of one process with two images."""
    options = ['--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1',
               'default_hooks.checkpoint.interval=1', 'model.bbox_head.fusion.dropout=0',
               'model.text_encoder.dropout=0', 'model.bbox_head.text_layer.dropout=0',
               'model.backbone.drop_path_rate=0']
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'one'), *options]) == 0
    two = run('--nproc_per_node=2', '--standalone', REPOSITORY / 'tools/train.py', config,
              '--launcher', 'pytorch', '--work-dir', tmp_path / 'two', *options,
              'train_dataloader.batch_size=1', program=('-m', 'torch.distributed.run'))
    assert two.returncode == 0, two.stderr[-3000:]
    one, two = (final(tmp_path / d, 'iter_1.pth') for d in ('one', 'two'))
    assert one['meta']['iter'] == two['meta']['iter'] == 1
    for key, value in one['ema_state_dict'].items():
        torch.testing.assert_close(value, two['ema_state_dict'][key], atol=1e-5, rtol=1e-4,
                                   msg=key)
    one, two = (read_scalars(tmp_path / d).evaluations[-1] for d in ('one', 'two'))
    assert one['coco/AP50'] == pytest.approx(two['coco/AP50'], abs=1e-3)


@pytest.mark.slow
def test_bf16_training_and_test_of_its_checkpoint(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(precision, '_slowdown', lambda: .5)
    work_dir = tmp_path / 'bf16'
    assert main(['train', str(config), '--work-dir', str(work_dir), '--amp']) == 0
    assert all(0 < e['loss'] < 100 for e in read_scalars(work_dir).training)
    out = tmp_path / 'metrics.json'
    assert main(['test', str(config), str(work_dir / 'iter_8.pth'), '--work-dir',
                 str(tmp_path / 'test'), '--out', str(out)]) == 0
    metrics = json.loads(out.read_text())
    logged = read_scalars(work_dir).evaluations[-1]
    assert metrics['coco/AP50'] == pytest.approx(logged['coco/AP50'])
    assert {'coco/seen_AP50', 'coco/unseen_AP50', 'coco/caption_only_AP50'} <= set(metrics)


@pytest.mark.parametrize('arguments, setting', [
    (['--amp'], '--amp'),
    (['--cfg-options', 'optim_wrapper.type=AutocastOptimWrapper'], 'AutocastOptimWrapper'),
    (['--cfg-options', 'val_cfg.fp16=True'], 'val_cfg.fp16'),
])
def test_slow_bfloat16_is_refused_before_anything_is_trained(config, tmp_path, capsys, monkeypatch,
                                                             arguments, setting):
    monkeypatch.setattr(precision, '_slowdown', lambda: 25.)
    assert main(['train', str(config), *arguments, '--work-dir', str(tmp_path / 'work')]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert f'for {setting} a processor' in error and '25.0 times as long' in error
    assert not list(tmp_path.glob('work/*.pth'))


def test_slow_bfloat16_is_refused_in_a_test(config, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, '_slowdown', lambda: 25.)
    cfg = load_config(str(config), {'test_cfg.fp16': True}, str(tmp_path / 'work'))
    runner = build_runner(cfg)
    with pytest.raises(UserError, match='for test_cfg.fp16 a processor .* 25.0 times as long'):
        runner.test()


@pytest.mark.parametrize('arguments, message', [
    (['train', 'glip-x'], 'glip-x'),
    (['train', 'missing.py'], 'missing.py'),
    (['train', '{config}', '--cfg-options', 'modle.x=1'], "'modle'"),
    (['train', '{config}', '--cfg-options', 'model.bbox_head.colour=1'], "'colour'"),
    (['train', '{config}', '--cfg-options', 'model.type=GLIPP'], 'GLIPP'),
    (['train', '{config}', '--cfg-options', 'train_dataloader.dataset.sources=1'], "'sources'"),
    (['train', '{config}', '--resume', 'missing.pth'], 'missing.pth'),
    (['train', '{config}', '--cfg-options',
      'train_dataloader.dataset.datasets.0.ann_file=no.json'], 'no.json'),
    (['test', '{config}', 'missing.pth'], 'missing.pth'),
])
def test_bad_input_is_one_line_and_exit_code_2(config, tmp_path, capsys, arguments, message):
    work_dir = tmp_path / 'work'
    arguments = [a.format(config=config) for a in arguments]
    capsys.readouterr()
    assert main([*arguments, '--work-dir', str(work_dir)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and 'expected' in error and 'got' in error
    assert not list(tmp_path.glob('work/*.pth'))


@pytest.mark.parametrize('command', ['train', 'test'])
@pytest.mark.parametrize('place', ['file', 'file/below', '/proc/work'])
def test_a_work_dir_that_cannot_be_made(config, tmp_path, capsys, command, place):
    (tmp_path / 'file').touch()
    weights = [] if command == 'train' else ['glip-mini']
    assert main([command, str(config), *weights, '--work-dir', str(tmp_path / place)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'a folder that can be made' in error and place in error


@pytest.mark.parametrize('suffix', ['.json', '.yaml', '.yml'])
def test_configs_in_other_formats(config, tmp_path, suffix):
    """As mmengine dumps them."""
    other = tmp_path / f'other{suffix}'
    before = load_config(str(config))
    before.dump(other)
    after = load_config(str(other))
    assert json.dumps(after.model.to_dict()) == json.dumps(before.model.to_dict())
    assert build_model(after).state_dict().keys() == build_model(before).state_dict().keys()
    assert after.work_dir == f'work_dirs/{config.stem}'
    with pytest.raises(UserError, match=f'no such file at .*/missing{suffix}'):
        load_config(str(tmp_path / f'missing{suffix}'))
    other.write_text('{"optim_wraper": {}, "model": {}}')
    with pytest.raises(UserError, match='optim_wraper'):
        load_config(str(other))
    other.write_text('[1')
    with pytest.raises(UserError, match='a config that mmengine can read'):
        load_config(str(other))


def test_misspelt_top_level_key(config, tmp_path):
    config.write_text(config.read_text() + '\noptim_wraper = dict()\n')
    with pytest.raises(UserError, match='optim_wrapper'):
        load_config(str(config))


def test_longer_schedule(config):
    cfg = load_config('glip-mini')
    before = cfg.train_cfg.max_iters
    set_max_iters(cfg, 2 * before)
    assert cfg.train_cfg.max_iters == 2 * before
    assert max(s['end'] for s in cfg.param_scheduler) == 2 * before
