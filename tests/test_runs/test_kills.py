"""Runs that are killed anywhere and started again end as if nothing had happened.

Each kill falls on something that the run does to a file of its folder, drawn from all that an
uninterrupted run does; GLIPKIT_KILLS says how many of them each command gets.
"""
from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from glipkit.apis.build import load
from glipkit.checkpoints import read_training_checkpoint, save_checkpoint
from glipkit.checkpoints.files import read_file
from glipkit.testing.tiny_glip import write_config
from glipkit.worlds import shapes
from tests.test_cli.test_odinw import write_release
from tests.test_engine.conftest import write_training

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')]

REPOSITORY = Path(__file__).parents[2]
KILLS = int(os.environ.get('GLIPKIT_KILLS', 2))
#: Reads [words, folder, event to die at or null] lines, runs each in a process of its own that
#: shares the imports, and answers [exit code, events, standard error] lines.
WORKER = '''
import json, os, signal, sys
import glipkit.apis.predictor, glipkit.engine.runner, glipkit.tuning.run, matplotlib.figure
import glipkit.labelling.run, glipkit.odinw.benchmark, supervision
from glipkit.cli.main import main

CHANGES = {'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.chmod', 'os.truncate'}

def watch(folder, last, counts):
    def hook(event, arguments):
        writes = event == 'open' and isinstance(arguments[2], int) and arguments[2] & 3
        if (writes or event in CHANGES) and folder in str(arguments[0]):
            if counts[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)
            counts[0] += 1
    sys.addaudithook(hook)

for line in sys.stdin:
    words, folder, last = json.loads(line)
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(into, 2)
        counts = [0]
        watch(folder, last, counts)
        code = 1
        try:
            code = main(words)
        except BaseException:
            import traceback
            traceback.print_exc()
        sys.stderr.write('EVENTS %d' % counts[0])
        sys.stderr.flush()
        os._exit(code)
    os.close(into)
    with open(out, 'rb') as stream:
        said, _, events = stream.read().decode(errors='replace').partition('EVENTS ')
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print('ANSWER', json.dumps([code, int(events or -1), said]), flush=True)
'''


@pytest.fixture(scope='module')
def worker():
    """Runs words in a folder, killed at an event or not; gives code, events and errors."""
    process = subprocess.Popen(
        [sys.executable, '-c', WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'})

    def run(words, folder, last=None):
        process.stdin.write(json.dumps([words, str(folder), last]) + '\n')
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith('ANSWER '):
                return json.loads(line.removeprefix('ANSWER '))
        raise AssertionError('the worker has ended')

    yield run
    process.stdin.close()
    process.wait(60)


@pytest.fixture(scope='module')
def commands(tmp_path_factory):
    """Name -> words of a command line, which end with the folder; and those that resume it."""
    folder = tmp_path_factory.mktemp('inputs')
    world = folder / 'world'
    shapes.build(world, num_train_det=12, num_train_grd=6, num_val=4, image_size=96, workers=1)
    config = write_training(folder, world)
    tiny, weights = write_config(folder), folder / 'tiny.safetensors'
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        save_checkpoint(load(tiny), weights)
    model = ('--model', tiny, '--checkpoint', weights, '--strategy', 'head', '--set',
             'schedule.max_epochs=2')
    coco, photos = world / 'annotations/det_train.json', world / 'images/train_det'
    captions = folder / 'web.jsonl'
    with (world / 'annotations/grd_train.jsonl').open() as lines:
        records = [json.loads(line) for line in lines]
    captions.write_text(''.join(json.dumps(
        {'filename': record['filename'], 'caption': record['grounding']['caption']}) + '\n'
        for record in records))
    words = {
        'train': ('train', config, '--resume', '--work-dir'),
        'tune': ('tune', coco, '--images', photos, '--val', coco, '--val-images', photos, *model,
                 '--out'),
        'odinw': ('odinw', write_release(folder / 'odinw'), *model, 'schedule.copies=[]', '--only',
                  'Pothole', 'Thermal', '--out'),
        'pseudo-label': ('pseudo-label', captions, '--images', world / 'images/train_grd',
                         '--teacher', tiny, '--checkpoint', weights, '--threshold', '0',
                         '--part-size', '2', '--out'),
    }
    return {name: [str(word) for word in line] for name, line in words.items()}


def outcome(folder: Path) -> dict:
    """Everything of a run that is not a time, a log or a place: tensors, labels, scores."""
    found = {}
    for path in sorted(folder.rglob('*')):
        name = str(path.relative_to(folder))
        if path.suffix == '.safetensors':
            found[name] = read_file(path).state
        elif path.suffix == '.pth':
            content = read_training_checkpoint(path)
            found[name] = {**content['state_dict'], **content.get('ema_state_dict', {})}
        elif path.suffix in ('.jsonl', '.txt', '.bbox') or name.endswith('.bbox.json'):
            found[name] = path.read_bytes()
        elif path.name == 'scoreboard.json':
            found[name] = [row['ap'] for row in json.loads(path.read_text())['rows']]
    return found


def equal(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob('.*')
            if path.name.endswith(('.part', '.lock')) or path.name == 'last.pth']


@pytest.mark.parametrize('command', ['train', 'tune', 'odinw', 'pseudo-label'])
def test_killed_anywhere_and_run_again(worker, commands, tmp_path, command):
    words = commands[command]
    # The folder is the same in all runs: results may name it.
    folder = tmp_path / 'run'
    code, events, err = worker([*words, str(folder)], folder)
    assert code == 0 and events > 10, err
    whole = outcome(folder)
    assert whole and not leftovers(folder)
    draw = random.Random(command)
    for last in [draw.randrange(events) for _ in range(KILLS)]:
        shutil.rmtree(folder)
        code, _, err = worker([*words, str(folder)], folder, last)
        assert code == -signal.SIGKILL, err
        code, _, err = worker([*words, str(folder)], folder)
        assert code == 0, f'killed at {last} of {events}: {err}'
        assert equal(outcome(folder), whole), f'killed at {last} of {events}'
        assert not leftovers(folder), f'killed at {last} of {events}'
