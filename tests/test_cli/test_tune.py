"""``glipkit tune`` from the command line: results, resumes, processes, names, refusals."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from glipkit.apis.tasks import read_task
from glipkit.testing.tiny_glip import picture
from glipkit.tuning.report import agreement
from glipkit.worlds.shapes import draw_scene

REPOSITORY = Path(__file__).parents[2]
#: Category id -> name, in no order, with all that can stand in a name; the last has no example.
CATEGORIES = {1000: 'the "red" one', 7: 'cats/dogs', 90: "l'été", 3: 'no example'}
SCORES = {'AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'best_label', 'labels_per_object'}
QUICK = ['--set', 'schedule.max_epochs=2', 'schedule.batch_size=2']
KILLER = '''
import os, signal, sys
from glipkit.cli.main import main
from glipkit.engine.hooks.plateau import PlateauHook

save = PlateauHook.after_train_iter

def kill(self, runner, batch_idx, **more):
    self.minutes = 0.
    save(self, runner, batch_idx, **more)
    if batch_idx == 3:
        os.kill(os.getpid(), signal.SIGKILL)

PlateauHook.after_train_iter = kill
sys.exit(main(sys.argv[1:]))
'''


class Task(NamedTuple):
    train: Path
    images: Path


def write_task(folder: Path, contents: list[list[int]], seed: int = 0,
               categories: dict[int, str] = CATEGORIES) -> Task:
    """Pictures of coloured blocks; every image has boxes of the given categories."""
    images, annotations = [], []
    (folder / 'images').mkdir(parents=True)
    for number, held in enumerate(contents, start=11):
        pixels = picture(seed + number)
        Image.fromarray(pixels[..., ::-1]).save(folder / 'images' / f'{number}.png')
        height, width = pixels.shape[:2]
        images.append(dict(id=number, file_name=f'{number}.png', height=height, width=width))
        for i, category in enumerate(held):
            annotations.append(dict(id=len(annotations) + 1, image_id=number, iscrowd=0,
                                    category_id=category, bbox=[5. + 20 * i, 8., 30., 40.],
                                    area=1200.))
    path = folder / 'task.json'
    path.write_text(json.dumps(dict(
        images=images, annotations=annotations,
        categories=[dict(id=c, name=n) for c, n in categories.items()])))
    return Task(path, folder / 'images')


@pytest.fixture(scope='module')
def train(tmp_path_factory) -> Task:
    return write_task(tmp_path_factory.mktemp('train'),
                      [[7], [90, 7], [1000], [], [7, 1000], [90]])


@pytest.fixture(scope='module')
def val(tmp_path_factory) -> Task:
    return write_task(tmp_path_factory.mktemp('val'), [[1000, 7], [90], []], seed=50)


@pytest.fixture
def words(files, train, val, tmp_path):
    """A command line; ``out`` below the test's folder."""

    def build(*more: object, out: str = 'out', data: Task = train) -> list[str]:
        return [str(word) for word in (
            'tune', data.train, '--images', data.images, '--val', val.train, '--val-images',
            val.images, '--model', files.config, '--checkpoint', files.checkpoint, '--out',
            tmp_path / out, *QUICK, *more)]

    return build


def start(*arguments: str, program: tuple[str, ...] = ('-m', 'glipkit.cli.main')):
    # As many threads as here: sums of another number of threads round otherwise.
    environment = dict(os.environ, OMP_NUM_THREADS=str(torch.get_num_threads()),
                       PYTHONPATH=str(REPOSITORY))
    return subprocess.run([sys.executable, *program, *arguments], env=environment,
                          capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize('strategy', ['prompt', 'text'])
def test_a_strategy_runs_and_its_task_predicts(run, words, tmp_path, images, files, val,
                                                   strategy):
    ran = run(*words('--strategy', strategy, '--held-out', val.train, '--held-out-images',
                     val.images))
    assert ran.code == 0, ran.err
    out = tmp_path / 'out'
    report = json.loads((out / 'report.json').read_text())
    assert set(report['zero_shot']) == set(report['tuned']) == {'val', 'held_out'}
    assert set(report['zero_shot']['val']) == SCORES
    assert [step for step, *_ in report['runs'][0]['history']] == [3, 6]
    if strategy == 'prompt':  # nothing of the base model was touched
        assert report['runs'][0]['scores']['held_out'] == report['zero_shot']['held_out']
    text = (out / 'report.md').read_text()
    assert 'the "red" one' in text and 'no box to find' in text
    assert all((out / name).is_file() for name in ('curves.png', 'misses.png', 'task.safetensors'))
    assert 'no test file' in ran.out and 'trains' in ran.out and 'zero-shot on val' in ran.out
    assert not list(out.rglob('*.part')) and not list(out.rglob('last.pth'))
    # Labels are in ascending order of ids; the json has the file's own ids and images.
    records = json.loads((out / 'seed_3/val.bbox.json').read_text())
    assert records and {r['category_id'] for r in records} <= set(CATEGORIES)
    assert {r['image_id'] for r in records} <= {11, 12, 13}
    task = read_task(out / 'task.safetensors')
    assert task.category_ids == (3, 7, 90, 1000)
    assert task.classes == tuple(CATEGORIES[c] for c in (3, 7, 90, 1000))
    ran = run('predict', images, '--config', files.config, '--checkpoint', files.checkpoint,
              '--task', out / 'task.safetensors', '--threshold', 0, '--out', tmp_path / 'found')
    assert ran.code == 0, ran.err
    found = json.loads((tmp_path / 'found' / 'predictions.json').read_text())
    assert {d['name'] for one in found for d in one['detections']} <= set(CATEGORIES.values())


def test_few_shots_over_seeds_with_a_part_set_aside(run, files, train, tmp_path):
    ran = run('tune', train.train, '--images', train.images, '--model', files.config,
              '--checkpoint', files.checkpoint, '--out', tmp_path / 'out', '--strategy', 'head',
              '--shots', 1, '--seeds', '3,30', '--set', 'schedule.max_epochs=1')
    assert ran.code == 0, ran.err
    assert 'no validation file: 1 of the images' in ran.out and '+-' in ran.out
    parts = [json.loads((tmp_path / f'out/data/split_{name}.json').read_text())
             for name in ('train', 'val')]
    assert [len(part['images']) for part in parts] == [5, 1]
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert [one['seed'] for one in report['runs']] == [3, 30]
    values = [one['scores']['val']['AP'] for one in report['runs']]
    assert report['tuned']['val']['AP']['mean'] == pytest.approx(np.mean(values))
    assert report['tuned']['val']['AP']['std'] == pytest.approx(np.std(values))
    for seed in (3, 30):
        shots = json.loads((tmp_path / f'out/data/fewshot_train_shot1_seed{seed}.json')
                           .read_text())
        assert {i['id'] for i in shots['images']} <= {i['id'] for i in parts[0]['images']}


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(run, words, tmp_path):
    """SIGKILL in the middle of the second of two passes; the same command again."""
    assert run(*words('--strategy', 'lora', out='whole')).code == 0
    killed = start(*words('--strategy', 'lora'), program=('-c', KILLER))
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / 'out/seed_3/last.pth').is_file()
    assert not (tmp_path / 'out/task.safetensors').exists()
    ran = run(*words('--strategy', 'lora'))
    assert ran.code == 0 and 'resuming the run' in ran.out, ran
    a, b = (json.loads((tmp_path / name / 'seed_3/result.json').read_text())
            for name in ('whole', 'out'))
    assert a['history'] == b['history'] and a['scores'] == b['scores']
    a, b = (load_file(tmp_path / name / 'task.safetensors') for name in ('whole', 'out'))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert run(*words('--strategy', 'lora')).code == 0  # finished: only the report again


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(run, words, tmp_path):
    """Half the batch each; nothing that trains with this strategy has dropout."""
    ran = start('--nproc_per_node=2', '--standalone', '-m', 'glipkit.cli.main',
                *words('--strategy', 'head'), program=('-m', 'torch.distributed.run'))
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.count('zero-shot on val') == 1
    assert run(*words('--strategy', 'head', out='one')).code == 0
    one, two = (json.loads((tmp_path / name / 'report.json').read_text())
                for name in ('one', 'out'))
    assert one['zero_shot'] == two['zero_shot']
    assert [e[0] for e in two['runs'][0]['history']] == [e[0] for e in one['runs'][0]['history']]
    one, two = (load_file(tmp_path / name / 'task.safetensors') for name in ('one', 'out'))
    for key in one:
        torch.testing.assert_close(one[key], two[key], atol=1e-5, rtol=1e-4, msg=key)


def test_interpolation_to_the_base_model_is_the_base_model(run, words, tmp_path):
    assert run(*words('--strategy', 'full', '--interpolate', 0)).code == 0
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert report['runs'][0]['scores']['val'] == report['zero_shot']['val']
    assert '0 of the way' in (tmp_path / 'out/report.md').read_text()


def test_replay_and_sampled_classes(run, words, tmp_path, tmp_path_factory):
    """A third of the draws from other data: 6 of 9 per pass are the task's own."""
    other = write_task(tmp_path_factory.mktemp('other'), [[1], [2]], categories={1: 'a', 2: 'b'})
    ran = run(*words('--strategy', 'full', '--replay', other.train, '--replay-images',
                     other.images, '--replay-share', 1 / 3, '--sample-classes'))
    assert ran.code == 0, ran.err
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert [step for step, *_ in report['runs'][0]['history']] == [5, 10]


@pytest.mark.parametrize('strategy', ['prompt', 'head'])
def test_a_class_list_that_takes_several_prompts(run, words, tmp_path, strategy):
    """26 names of two tokens: 13 of them, 12 full stops, [CLS] and [SEP] make the 40 allowed."""
    names = {i: f'kind {chr(97 + i)}' for i in range(26)}
    task = write_task(tmp_path / 'many', [[0, 25], [13], [7, 20]], categories=names)
    ran = run(*words('--strategy', strategy, '--val', task.train, '--val-images', task.images,
                     '--set', 'schedule.max_epochs=1', data=task))
    assert ran.code == 0, ran.err
    learned = read_task(tmp_path / 'out/task.safetensors')
    assert len(learned.captions) == 2 and learned.classes == tuple(names.values())
    if strategy == 'prompt':
        assert sorted(learned.state) == ['prompt.0', 'prompt.1']
    records = json.loads((tmp_path / 'out/seed_3/val.bbox.json').read_text())
    assert {r['image_id'] for r in records} == {11, 12, 13}


def test_manual_prompts_are_scored_without_training(run, words, tmp_path):
    prompts = tmp_path / 'words.yaml'
    prompts.write_text('- cats/dogs: [animal, {name: pet, prefix: "a "}]\n- "l\'été": summer\n')
    ran = run(*words('--strategy', 'manual', '--prompts', prompts))
    assert ran.code == 0, ran.err
    report = (tmp_path / 'out/report.md').read_text()
    assert report.count('| cats/dogs:') == 2 and "'a **pet**'" in report and 'summer' in report
    chosen = tmp_path / 'out/prompts.yaml'
    again = run(*words('--strategy', 'head', '--prompts', chosen, out='again'))
    assert again.code == (0 if json.loads(chosen.read_text()) else 2), again.err


@pytest.mark.slow
def test_tuning_learns(run, tmp_path):
    """Shapes under each other's names: the mini model learns them from a few pictures."""
    drawn = ['large red plain square', 'large blue striped star']
    names = {7: drawn[1], 90: drawn[0]}
    parts = {}
    for split, seed, count in (('train', 1, 6), ('val', 2, 4)):
        rng, folder = np.random.default_rng(seed), tmp_path / split
        folder.mkdir()
        content = dict(images=[], annotations=[],
                       categories=[dict(id=c, name=n) for c, n in names.items()])
        for i in range(count):
            image, things = draw_scene(drawn, 128, rng)
            image.save(folder / f'{i}.png')
            content['images'].append(dict(id=i, file_name=f'{i}.png', width=128, height=128))
            for thing in things:
                x1, y1, x2, y2 = thing.box
                content['annotations'].append(dict(
                    id=len(content['annotations']) + 1, image_id=i, iscrowd=0,
                    category_id=list(names)[drawn.index(thing.name)],
                    bbox=[x1, y1, x2 - x1, y2 - y1], area=(x2 - x1) * (y2 - y1)))
        parts[split] = tmp_path / f'{split}.json'
        parts[split].write_text(json.dumps(content))
    ran = run('tune', parts['train'], '--images', tmp_path / 'train', '--val', parts['val'],
              '--val-images', tmp_path / 'val', '--out', tmp_path / 'out', '--shots', 6,
              '--seeds', 3, '--set', 'schedule.max_epochs=1', 'schedule.batch_size=3',
              'schedule.copies=[[9,5]]')
    assert ran.code == 0, ran.err
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert report['tuned']['val']['AP']['mean'] > report['zero_shot']['val']['AP'] + 0.2
    assert (tmp_path / 'out/task.safetensors').stat().st_size < 100_000


@pytest.mark.parametrize(('more', 'said'), [
    (['--strategy', 'magic'], 'magic'),
    (['--strategy', 'nothing.py'], 'nothing.py'),
    (['--shots', '0'], '0'),
    (['--seeds', 'a,b'], 'a,b'),
    (['--seeds', '3,3'], '3'),
    (['--interpolate', '1.5'], '1.5'),
    (['--replay', 'a.json'], '--replay-images'),
    (['--set', 'strategy.rank=3'], 'rank'),
    (['--set', 'schedule.colour=3'], 'colour'),
    (['--test', 'a.json', '--test-images', '.'], 'a.json'),
    (['--strategy', 'manual'], '--prompts'),
    (['--sample-classes'], '--sample-classes'),
])
def test_bad_settings_are_one_line(refuse, words, more, said):
    assert said in refuse(*words(*more))


@pytest.mark.parametrize(('harm', 'said'), [
    (lambda c: c['categories'].append(dict(id=8, name='eel')), 'eel'),
    (lambda c: c['images'].append(dict(id=99, file_name='gone.png')), 'gone.png'),
    (lambda c: c.update(annotations=[]), 'box'),
    (lambda c: c['categories'][0].update(name='cats/dogs'), 'cats/dogs'),
])
def test_bad_data_is_one_line_before_anything_is_written(run, words, train, tmp_path, harm, said):
    content = json.loads(train.train.read_text())
    harm(content)
    path = tmp_path / 'harmed.json'
    path.write_text(json.dumps(content))
    ran = run(*words(data=Task(path, train.images)))
    assert ran.code == 2 and said in ran.err and ran.err.count('\n') == 1, ran.err
    assert not (tmp_path / 'out').exists()


def test_bad_prompts_are_refused_before_anything_is_written(run, words, tmp_path):
    path = tmp_path / 'words.yaml'
    for text, said in (('eel: fish', 'eel'), ('cats/dogs: [a, b]', 'manual')):
        path.write_text(text)
        assert said in run(*words('--prompts', path)).err
    assert not (tmp_path / 'out').exists()


def test_a_folder_of_something_else_is_refused(run, words, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/thesis.tex').write_text('')
    assert 'empty folder' in run(*words()).err
    (tmp_path / 'out/thesis.tex').unlink()
    (tmp_path / 'out/settings.json').write_text('{}')
    assert 'other settings' in run(*words()).err


def test_agreement_of_ground_truth_and_detections():
    """One of two found, one false alarm: F1 = 2 * 1 / (2 + 2); an empty image is in order."""
    from glipkit.apis.detections import Detections

    def found(boxes, labels):
        return Detections(np.array(boxes, np.float32).reshape(-1, 4),
                          np.ones(len(labels), np.float32), np.array(labels, np.int64),
                          ('a', 'b'), (50, 50))

    truth = found([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 1])
    assert agreement(truth, truth) == 1
    assert agreement(truth, found([[0, 0, 10, 9], [20, 20, 40, 40]], [0, 0])) == 0.5
    assert agreement(found([], []), found([], [])) == 1
    assert agreement(truth, found([], [])) == 0


@pytest.mark.parametrize('option', ['schedule.max_epochs=abc', 'schedule.max_epochs=0',
                                    'schedule.max_epochs=1.5', 'schedule.batch_size=True',
                                    'strategy.lr=-1', 'strategy.lr=fast',
                                    'schedule.few_shot.stop_patience=long'])
def test_settings_that_would_end_the_run_halfway(run, words, tmp_path, option):
    # `words` ends with --set, which a second one adds to.
    ran = run(*words('--set', option))
    assert ran.code == 2 and option.partition('=')[0] in ran.err and ran.err.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_no_seeds_and_fewer_than_no_workers(run, words, tmp_path):
    assert 'seeds as' in run(*words('--seeds', '')).err
    assert '--workers' in run(*words('--workers', '-1')).err
    assert not (tmp_path / 'out').exists()
