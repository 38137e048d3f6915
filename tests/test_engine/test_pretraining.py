"""Pre-training through the command line: both kinds, two processes, kills and resumes."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from glipkit.apis.build import load
from glipkit.checkpoints import load_checkpoint, read_training_checkpoint, save_checkpoint
from glipkit.cli.main import main
from glipkit.reports.pictures import read_scalars
from glipkit.testing.tiny_pretraining import write_crops_training, write_training
from glipkit.text.bank import TextBank

REPOSITORY = Path(__file__).parents[2]
KILLER = '''
import hashlib, os, pathlib, signal, sys
import torch
from mmengine.dist import get_rank
from glipkit.cli.main import main
from glipkit.engine.hooks.iter_seed import IterSeedHook

def kill(self, runner, batch_idx, **_):
    if batch_idx == 4:
        os.kill(os.getpid(), signal.SIGKILL)

def tell(self, runner):
    digest = hashlib.sha256()
    for parameter in runner.model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    (pathlib.Path(runner.work_dir) / f'rank_{get_rank()}.txt').write_text(digest.hexdigest())

IterSeedHook.after_train = tell

if sys.argv.pop(1) == 'die':
    IterSeedHook.after_train_iter = kill
sys.exit(main(sys.argv[1:]))
'''


@pytest.fixture(scope='module')
def pairs(world, tmp_path_factory):
    """Captions of the shapes world in a jsonl, two to a picture; images; and a concept pool."""
    folder = tmp_path_factory.mktemp('pairs')
    with (world / 'annotations/grd_train.jsonl').open() as lines:
        records = [json.loads(line) for line in lines]
    captions, pool = folder / 'captions.jsonl', folder / 'pool.safetensors'
    captions.write_text(''.join(json.dumps(dict(
        filename=record['filename'],
        captions=[record['grounding']['caption'], f'picture {i}'])) + '\n'
        for i, record in enumerate(records)))
    random = torch.Generator().manual_seed(0)
    TextBank(('circle', 'star', 'square'), torch.randn(3, 24, generator=random)).write(pool)
    return captions, world / 'images/train_grd', pool


@pytest.fixture
def regions(pairs, tmp_path) -> Path:
    return write_training(tmp_path, *pairs)


@pytest.fixture
def clip(pairs, tmp_path) -> Path:
    return write_training(tmp_path, *pairs[:2])


@pytest.fixture
def crops(world, tmp_path) -> Path:
    return write_crops_training(tmp_path, world / 'annotations/det_train.json',
                                world / 'images/train_det')


def final(work_dir: Path, name: str = 'iter_8.pth') -> dict:
    return read_training_checkpoint(work_dir / name)['state_dict']


def digests(work_dir: Path) -> list[str]:
    """Of the weights of each of two processes, when a training has ended."""
    return [(work_dir / f'rank_{rank}.txt').read_text() for rank in (0, 1)]


def torchrun(program, *words):
    return subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--standalone',
         str(program), *map(str, words)], capture_output=True, text=True, timeout=300,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPOSITORY)})


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['regions', 'clip'])
def test_a_training_and_its_checkpoint(kind, request, tmp_path):
    config = request.getfixturevalue(kind)
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'run')]) == 0
    logged = read_scalars(tmp_path / 'run').training
    assert len(logged) == 8 and all(0 < entry['loss'] < 100 for entry in logged)
    assert set(logged[0]) >= ({'loss_contrast', 'loss_distill', 'loss_caption', 'kept_regions'}
                              if kind == 'regions' else {'loss_caption', 'temperature'})
    model = load(config, 'random')
    report = load_checkpoint(model, tmp_path / 'run' / 'iter_8.pth')
    assert report.loaded == len(model.state_dict())
    save_checkpoint(model, tmp_path / 'own.safetensors')
    counters = sum(key.endswith('num_batches_tracked') for key in model.state_dict())
    again = load_checkpoint(model, tmp_path / 'own.safetensors')
    assert again.loaded == report.loaded - counters  # counters say nothing to anybody
    start, end = final(tmp_path / 'run', 'iter_3.pth'), final(tmp_path / 'run')
    changed = {key for key in end if not torch.equal(start[key], end[key])}
    assert 'backbone.layer4.0.conv1.weight' in changed
    assert any(key.startswith('text_encoder.') for key in changed) == (kind == 'clip')
    assert not any(key.startswith('teacher_backbone.') for key in changed)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['regions', 'clip', 'crops'])
def test_two_killed_processes_resume_to_the_same_weights(kind, request, tmp_path):
    """SIGKILL of both after 5 iterations with a checkpoint at 3: bit-equal in the end."""
    config, killer = request.getfixturevalue(kind), tmp_path / 'killer.py'
    killer.write_text(KILLER)

    def train(end, name, *words):
        return torchrun(killer, end, 'train', config, '--launcher', 'pytorch', *words,
                        '--work-dir', tmp_path / name)

    whole = train('live', 'whole')
    assert whole.returncode == 0, whole.stderr[-3000:]
    killed = train('die', 'killed')
    assert killed.returncode != 0 and 'SIGKILL' in killed.stderr
    assert not (tmp_path / 'killed' / 'iter_8.pth').exists()
    resumed = train('live', 'killed', '--resume')
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    one, other = final(tmp_path / 'whole'), final(tmp_path / 'killed')
    assert one.keys() == other.keys()
    for key in one:
        assert torch.equal(one[key], other[key]), key
    # Both processes hold the same bits, and those of the other training.
    assert len({*digests(tmp_path / 'whole'), *digests(tmp_path / 'killed')}) == 1
    losses = [[(e['step'], e['loss']) for e in read_scalars(tmp_path / d).training]
              for d in ('whole', 'killed')]
    assert len(losses[0]) == 8 and losses[0] == losses[1]


@pytest.mark.slow
def test_two_processes_learn_from_crops_what_one_does(crops, tmp_path):
    """Two images of two processes have as much weight as in one batch, however many crops each.

    Not bit for bit: one process sums the gradients of both images inside of its matrix products,
    two sum each their own and then both, and sums of floating point numbers depend on the order.
    """
    killer = tmp_path / 'killer.py'
    killer.write_text(KILLER)
    options = ['--cfg-options', 'train_cfg.max_iters=3', 'default_hooks.logger.interval=1']
    two = torchrun(killer, 'live', 'train', crops, '--launcher', 'pytorch', '--work-dir',
                   tmp_path / 'two', *options, 'train_dataloader.batch_size=1')
    assert two.returncode == 0, two.stderr[-3000:]
    assert main(['train', str(crops), '--work-dir', str(tmp_path / 'one'), *options]) == 0
    one, two = (read_training_checkpoint(tmp_path / name / 'iter_3.pth') for name in ('one', 'two'))
    assert all(torch.allclose(one['state_dict'][key], two['state_dict'][key], atol=1e-6)
               for key in one['state_dict'])
    learned, saved = one['ema_state_dict'], one['state_dict']
    changed = [key for key in learned if not torch.equal(learned[key], saved[key])]
    assert any(key.startswith('backbone.blocks.') for key in changed)
    for key in changed:  # 0.7 of what was learned, and 0.3 of the beginning
        mixed = 0.7 * learned[key] + 0.3 * saved[f'teacher_{key}']
        assert torch.allclose(saved[key], mixed, atol=1e-6)


def test_a_missing_pool_is_one_line_before_the_training(pairs, tmp_path, capsys):
    config = write_training(tmp_path, *pairs[:2], tmp_path / 'no.safetensors')
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'run')]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('glipkit train: error: expected a file of embeddings')
    assert 'no.safetensors' in error and not list((tmp_path / 'run').glob('*.pth'))


def test_a_pool_of_another_width_is_one_line(pairs, tmp_path, capsys):
    TextBank(('a', ), torch.ones(1, 7)).write(tmp_path / 'pool.safetensors')
    config = write_training(tmp_path, *pairs[:2], tmp_path / 'pool.safetensors')
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'run')]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'space of the student, of 24 numbers each; got a pool of 7' in error


@pytest.fixture(scope='module')
def towers(pairs, tmp_path_factory) -> Path:
    """A checkpoint of the training of both towers, with norms that have learned."""
    folder = tmp_path_factory.mktemp('towers')
    config = write_training(folder, *pairs[:2])
    assert main(['train', str(config), '--work-dir', str(folder / 'run'), '--cfg-options',
                 'train_cfg.max_iters=2']) == 0
    return folder / 'run' / 'iter_2.pth'


def begun(config, work_dir, *options) -> dict:
    """Weights after one step that changes nothing."""
    assert main(['train', str(config), '--work-dir', str(work_dir), '--cfg-options',
                 'train_cfg.max_iters=1', 'default_hooks.checkpoint.interval=1',
                 'optim_wrapper.optimizer.lr=0', *options]) == 0
    return final(work_dir, 'iter_1.pth')


def part(state, name):
    """Weights below a name; without the counters of norms that learn."""
    return {key.removeprefix(name): tensor for key, tensor in state.items()
            if key.startswith(name) and not key.endswith('num_batches_tracked')}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_regions_begin_with_towers_that_were_trained_before(regions, towers, tmp_path):
    """The student, the teacher and the text encoder, by ``load_from``."""
    before = final(towers.parent, towers.name)
    after = begun(regions, tmp_path / 'run', f'load_from={towers}')
    for name, source in (('backbone.', 'backbone.'), ('teacher_backbone.', 'backbone.'),
                         ('text_encoder.', 'text_encoder.')):
        assert same(part(after, name), part(before, source)), name


@pytest.mark.slow
def test_parts_begin_with_files_of_their_own(regions, towers, tmp_path, capsys):
    before, other = final(towers.parent, towers.name), begun(regions, tmp_path / 'other')
    text = regions.read_text()

    def reading(**files):
        named = {name: str(path) for name, path in files.items()}
        regions.write_text(f'{text}\ncustom_hooks = [dict(type="IterSeedHook"), '
                           f'dict(type="PartWeightsHook", files={named})]')
        return regions

    after = begun(reading(backbone=towers, text_encoder=towers,
                          teacher_backbone=tmp_path / 'other' / 'iter_1.pth'), tmp_path / 'run')
    assert same(part(after, 'backbone.'), part(before, 'backbone.'))
    assert same(part(after, 'text_encoder.'), part(before, 'text_encoder.'))
    assert same(part(after, 'teacher_backbone.'), part(other, 'backbone.'))
    capsys.readouterr()
    assert main(['train', str(reading(neck=towers)), '--work-dir', str(tmp_path / 'bad')]) == 2
    assert "got 'neck'" in capsys.readouterr().err.splitlines()[-1]
