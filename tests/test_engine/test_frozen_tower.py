"""A detector on a frozen tower, trained through the command line: jitter, a kill, a test."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from glipkit.checkpoints import read_training_checkpoint
from glipkit.cli.main import main
from glipkit.common.paths import config_root
from glipkit.testing.tiny_fvit import TINY_CONFIG

from .test_pretraining import KILLER, REPOSITORY, digests, torchrun

TRAINING = '''
_base_ = '{root}/_base_/runtime/default.py'
{model}
model['data_preprocessor']['batch_augments'] = [
    dict(type='mmdet.BatchFixedSizePad', size=(96, 96))]
model['test_cfg']['base_classes'] = {base}
train_pipeline = [
    dict(type='LoadImage'), dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=(96, 96), ratio_range=(0.1, 2.0), keep_ratio=True,
         resize_type='mmdet.Resize'),
    dict(type='mmdet.RandomCrop', crop_type='absolute', crop_size=(96, 96), recompute_bbox=True,
         allow_negative_crop=True),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
    dict(type='PackGrounding')]
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DrawSampler'),
    dataset=dict(type='MixedDataset', datasets=[dict(
        type='CocoDetection', ann_file='{world}/annotations/det_train.json',
        data_prefix=dict(img='{world}/images/train_det/'), metainfo=dict(classes={base}),
        pipeline=train_pipeline)]))
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CocoDetection', ann_file='{world}/annotations/val.json', test_mode=True,
                 data_prefix=dict(img='{world}/images/val/'), pipeline=test_pipeline))
test_evaluator = dict(type='GroundingCocoMetric', ann_file='{world}/annotations/val.json')
test_cfg = dict(type='TestLoop')
train_cfg = dict(type='IterBasedTrainLoop', max_iters=6)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
                     clip_grad=dict(max_norm=1.0))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4)]
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
'''


def write(folder: Path, world: Path) -> Path:
    content = json.loads((world / 'annotations/det_train.json').read_text())
    base = [category['name'] for category in content['categories']][::2]
    path = folder / 'tiny_fvit.py'
    path.write_text(TRAINING.format(root=config_root(), model=TINY_CONFIG, world=world, base=base))
    return path


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights_and_is_tested(world, tmp_path, capsys):
    config, killer = write(tmp_path, world), tmp_path / 'killer.py'
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'whole')]) == 0
    killer.write_text(KILLER)
    killed = subprocess.run(
        [sys.executable, str(killer), 'die', 'train', str(config), '--work-dir',
         str(tmp_path / 'killed')], capture_output=True, text=True, timeout=300,
        env={**os.environ, 'OMP_NUM_THREADS': str(torch.get_num_threads()),  # the same sums
             'PYTHONPATH': str(REPOSITORY)})
    assert killed.returncode == -9, killed.stderr[-2000:]
    work_dir = tmp_path / 'killed'
    assert not (work_dir / 'iter_6.pth').exists()
    assert main(['train', str(config), '--work-dir', str(work_dir), '--resume']) == 0
    one, other = (read_training_checkpoint(tmp_path / name / 'iter_6.pth')['state_dict']
                  for name in ('whole', 'killed'))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    start = read_training_checkpoint(tmp_path / 'whole' / 'iter_2.pth')['state_dict']
    changed = {key.partition('.')[0] for key in one if not torch.equal(one[key], start[key])}
    assert changed == {'pyramid', 'neck', 'rpn_head', 'roi_head'}
    assert main(['test', str(config), str(work_dir / 'iter_6.pth'), '--work-dir',
                 str(tmp_path / 'test')]) == 0
    assert 'AP' in capsys.readouterr().out


#: Trains, keeps what the ranks hold, forgets the last checkpoint, and resumes.
TWICE = '''
words, folder = sys.argv[1:], pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])
assert main(words) == 0
torch.distributed.barrier()
name = f'rank_{get_rank()}.txt'
(folder / 'first').mkdir(exist_ok=True)
(folder / name).rename(folder / 'first' / name)
if get_rank() == 0:
    (folder / 'iter_3.pth').unlink()
    (folder / 'last_checkpoint').unlink()
torch.distributed.barrier()
sys.exit(main([*words[:2], '--resume', *words[2:]]))
'''


@pytest.mark.slow
def test_two_processes_hold_the_same_bits_and_a_resumed_training_too(world, tmp_path):
    """Both ranks; and the end again, from a checkpoint on the way to it."""
    config, program = write(tmp_path, world), tmp_path / 'program.py'
    # One start of the processes for both trainings: the libraries take longer than they do.
    program.write_text(KILLER.replace('sys.exit(main(sys.argv[1:]))', TWICE))
    ran = torchrun(program, 'live', 'train', config, '--launcher', 'pytorch', '--work-dir',
                   tmp_path / 'run', '--cfg-options', 'train_cfg.max_iters=3')
    assert ran.returncode == 0 and 'resumed epoch: 0, iter: 2' in ran.stdout, ran.stderr[-3000:]
    first, again = digests(tmp_path / 'run' / 'first'), digests(tmp_path / 'run')
    assert len({*first, *again}) == 1
