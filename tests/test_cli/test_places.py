"""Every command at a place where nothing, or not everything, can be written."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glipkit.apis.build import load
from glipkit.checkpoints import save_checkpoint
from glipkit.cli.main import COMMANDS
from glipkit.testing import tiny_clip_rcnn
from glipkit.worlds import shapes
from tests.test_cli.test_odinw import write_release
from tests.test_engine.conftest import write_training

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='needs fork, /sys and limits')

REPOSITORY = Path(__file__).parents[2]
#: Runs command lines, each in a process of its own that shares the imports, and prints what came.
WORKER = '''
import json, os, resource, sys
import glipkit.apis.predictor, glipkit.engine.runner, glipkit.tuning.run, matplotlib.figure
from glipkit.cli.main import main

def fill(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

def fill_once_touched(place, limit):
    filled = []
    def hook(event, arguments):
        if event in ('open', 'os.mkdir', 'os.rename') and place in str(arguments[0]) and (
                event != 'open' or isinstance(arguments[2], int) and arguments[2] & 3):
            if not filled:
                filled.append(fill(limit))
    sys.addaudithook(hook)

def run(words, limit, everywhere):
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(into, 2)
        if everywhere:
            fill(limit)
        elif limit is not None:
            fill_once_touched(os.path.dirname(words[-1]), limit)
        code = 1
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            import traceback
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
    os.close(into)
    with open(out, 'rb') as stream:
        said = stream.read().decode(errors='replace')
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said

commands, limit, everywhere = json.loads(sys.argv[1])
print('RESULTS', json.dumps({name: run(words, limit, everywhere)
                             for name, words in commands.items()}))
'''
#: What is wrong with the place -> the most bytes that a file may have there.
FAULTS = {'full': 0, 'filling': 700, 'almost empty': 9000, 'full everywhere': 0, 'refused': None,
          'link': None, 'below a link': None}
#: Commands that write nothing here: the output of `env` is in test_main.py, and what `models`
#: fetches in test_apis/test_weights.py. A server writes nothing (tests/test_serve).
READING = ('env', 'models', 'serve')
WRITING = [name for name in COMMANDS if name not in READING]
#: Of commands that write a file.
ENDINGS = {'convert': '.safetensors', 'concepts': '.safetensors', 'browse': '.html',
           'check-data': '.json', 'export': '.npz', 'prompt': '.safetensors',
           'calibrate': '.safetensors'}
#: Their logs stand before the error.
LOGGING = ('train', 'test', 'demo')


@pytest.fixture(scope='module')
def commands(files, tmp_path_factory):
    """Name -> words of a command line, which end with the place."""
    folder = tmp_path_factory.mktemp('inputs')
    world = folder / 'world'
    shapes.build(world, num_train_det=6, num_train_grd=6, num_val=4, image_size=96, workers=1)
    config = write_training(folder, world)
    coco, photos = world / 'annotations/det_train.json', world / 'images/train_det'
    model = ('--model', files.config, '--checkpoint', files.checkpoint)
    content = json.loads(coco.read_text())
    used = {record['category_id'] for record in content['annotations']}
    shown = ', '.join(one['name'] for one in content['categories'] if one['id'] in used)
    shard = folder / 'web.jsonl'
    shard.write_text(json.dumps({'filename': '000001.jpg', 'caption': 'a red circle'}) + '\n')
    regions = tiny_clip_rcnn.write_config(folder)
    save_checkpoint(load(regions, 'random'), folder / 'regions.safetensors')
    texts = ('--checkpoint', folder / 'regions.safetensors')
    words = {
        'train': ('train', config, '--work-dir'),
        'test': ('test', config, files.checkpoint, '--work-dir', folder / 'work', '--out'),
        'tune': ('tune', coco, '--images', photos, '--val', coco, '--val-images', photos, *model,
                 '--strategy', 'head', '--out'),
        'prompt': ('prompt', '--examples', coco, '--images', photos, *model, '--steps', '0',
                   '--out'),
        'odinw': ('odinw', write_release(folder / 'odinw'), *model, '--only', 'Pothole', '--out'),
        'predict': ('predict', photos, '--config', files.config, '--checkpoint', files.checkpoint,
                    '--threshold', '0', '--classes', 'dog', '--save-images', '--csv', '--json',
                    '--out'),
        'prepare': ('prepare', 'coco', '--train', coco, '--out'),
        'world': ('world', 'shapes', '--train-det', '2', '--train-grd', '2', '--val', '1',
                  '--workers', '1', '--out'),
        'demo': ('demo', '--world', 'shapes', '--iters', '2', '--train', '2', '--val', '1',
                 '--out'),
        'convert': ('convert', files.checkpoint),
        'push': ('push', 'anna/tiny', '--model', files.config, '--checkpoint', files.checkpoint,
                 '--license', 'mit', '--dry-run', '--out'),
        'export': ('export', files.config, '--checkpoint', files.checkpoint, '--classes', 'dog',
                   '--format', 'words', '--out'),
        'bench': ('bench', 'evaluation', '--images', '2', '--limit', '20', '--out'),
        'pseudo-label': ('pseudo-label', shard, '--images', world / 'images/train_grd', '--out'),
        'concepts': ('concepts', shard, '--model', regions, *texts, '--min-count', '1', '--out'),
        'calibrate': ('calibrate', coco, '--images', photos, *model, '--classes', shown,
                      '--device', 'cpu', '--out'),
        'features': ('features', photos, '--config', regions, *texts, '--out'),
        'browse': ('browse', world / 'annotations/grd_train.jsonl', '--images',
                   world / 'images/train_grd', '--out'),
        'check-data': ('check-data', coco, '--images', photos, '--json'),
    }
    assert sorted(words) == sorted(WRITING)
    return {name: [str(word) for word in line] for name, line in words.items()}


@pytest.fixture(scope='module')
def ran(commands, tmp_path_factory):
    """Fault -> command -> (exit code, standard error, place); each fault is run once."""
    known = {}

    def run(fault):
        if fault not in known:
            known[fault] = _run(fault, commands, tmp_path_factory.mktemp('places'))
        return known[fault]

    return run


def _run(fault, commands, folder):
    places = {name: _place(fault, folder / name, ENDINGS.get(name, '')) for name in commands}
    lines = {name: [*words, str(places[name])] for name, words in commands.items()}
    process = subprocess.run(
        [sys.executable, '-c', WORKER, json.dumps([
            lines, FAULTS[fault], fault == 'full everywhere'])], cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'},
        capture_output=True, text=True, timeout=600)
    found = json.loads(process.stdout.split('RESULTS ')[1])
    return {name: (*found[name], places[name]) for name in commands}


def _place(fault, folder, ending):
    folder.mkdir()
    if fault == 'refused':
        return Path(f'/sys/glipkit-{folder.name}{ending}')
    if fault == 'below a link' and folder.name in ('convert', 'export'):  # which make no folders
        fault = 'link'
    if fault in ('link', 'below a link'):
        link = folder / (f'out{ending}' if fault == 'link' else 'out')
        link.symlink_to(folder / 'gone')
        return link if fault == 'link' else link / f'below{ending}'
    return folder / f'out{ending}'


@pytest.mark.slow
@pytest.mark.parametrize('command', WRITING)
@pytest.mark.parametrize('fault', FAULTS)
def test_one_line_and_nothing_half_written(ran, fault, command):
    code, err, place = ran(fault)[command]
    _refuse_cut_files(place, FAULTS[fault])
    if code == 0 and fault == 'almost empty':
        return  # small files alone
    assert code == 2, err
    lines = err.splitlines()
    assert lines[-1].startswith(f'glipkit {command}') and ': error: expected ' in lines[-1], err
    assert 'Traceback' not in err
    place_is_named = any(word in lines[-1] for word in (
        'can be written', 'a place to write', 'can be made', 'read and written', 'memory that'))
    assert place_is_named, lines[-1]
    assert len(lines) == 1 or command in LOGGING, err
    if fault == 'refused':
        assert not place.exists()
        return
    if fault in ('link', 'below a link'):
        link = place if place.is_symlink() else place.parent
        assert link.is_symlink() and [path.name for path in link.parent.iterdir()] == [link.name]
        return


def _refuse_cut_files(place, limit):
    """A file that ends where the disk does is one that was cut off; mmengine's logs may be."""
    if place.is_relative_to('/sys'):
        return
    left = {path: path.stat().st_size for path in place.parent.rglob('*') if path.is_file()}
    assert not [path for path, size in left.items() if path.name.endswith('.part')
                or (size == limit and path.suffix != '.log' and 'vis_data' not in path.parts)]
