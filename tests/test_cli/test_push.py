"""``glipkit push``: what is published is loaded by its name, and nothing is published by half."""
from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import fingerprint, make_task, save_task
from glipkit.checkpoints.hub import hub_file
from glipkit.checkpoints.upload import check_repository
from glipkit.errors import UserError
from glipkit.export.question import make_question
from glipkit.testing.tiny_glip import picture
from tests.hub_server import TOKEN, serving

CLASSES = {4: 'dog', 9: 'red "cat"'}
LICENCE = ('--license', 'mit')


@pytest.fixture(autouse=True)
def hub(monkeypatch, tmp_path_factory):
    """A hub that knows one token, and a cache of its own; waiting for nothing."""
    import huggingface_hub.constants as constants
    import huggingface_hub.utils._http as http
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True, raising=False)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path_factory.mktemp('cache')))
    monkeypatch.setattr(constants, 'HF_TOKEN_PATH', str(tmp_path_factory.mktemp('none') / 'no'))
    monkeypatch.setattr(http.time, 'sleep', lambda _: None)
    monkeypatch.delenv('HF_HUB_OFFLINE')
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    with serving({}) as served:
        monkeypatch.setenv('HF_ENDPOINT', served.url)
        yield served


@pytest.fixture(scope='module')
def task(files, tmp_path_factory):
    path = tmp_path_factory.mktemp('task') / 'task.safetensors'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = load(files.config, files.checkpoint)
    save_task(make_task(model, dict(name='manual'), {}, CLASSES, fingerprint(model), 'tiny',
                        {'dog': dict(name='animal')}, dict(shots=5)), path)
    return path


def fields(page):
    return yaml.safe_load(page.split('---')[1])


def test_a_model_comes_back_by_its_name(hub, run, files, tmp_path):
    (tmp_path / 'metrics.json').write_text(json.dumps(
        {'metrics': {'coco/bbox_mAP': 0.467}, 'protocol': 'COCO AP of 5,000 images'}))
    ran = run('push', 'anna/tiny', '--model', files.config, '--checkpoint', files.checkpoint,
              '--license', 'CC-BY-NC-4.0', '--base-model', 'first/models', '--dataset', 'anna/set',
              '--metrics', tmp_path / 'metrics.json', '--about', 'Finds dogs.', '--private')
    assert (ran.code, ran.err) == (0, '')
    assert ran.out.splitlines()[-1] == f'{hub.url}/anna/tiny' and TOKEN not in ran.out
    assert hub.repositories == {'anna/tiny': 'private'}
    (_, sent), = hub.commits
    assert sorted(sent) == ['README.md', 'config.py', 'model.safetensors', 'publication.json']
    page = hub.files['anna/tiny:README.md'].decode()
    read = fields(page)
    assert read['license'] == 'cc-by-nc-4.0' and read['base_model'] == 'first/models'
    assert read['datasets'] == ['anna/set'] and read['metrics'] == ['coco/bbox_mAP']
    assert 'Finds dogs.' in page and '| coco/bbox_mAP | 0.467 |' in page
    assert "glipkit.Predictor('config.py', checkpoint='anna/tiny')" in page
    assert str(tmp_path) not in page + hub.files['anna/tiny:config.py'].decode()
    expected = Predictor(files.config, files.checkpoint)(picture(0), classes=['dog', 'cat'])[0]
    found = Predictor(files.config, checkpoint='anna/tiny')(picture(0), classes=['dog', 'cat'])[0]
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)
    # A second push to the same name is another commit.
    assert run('push', 'anna/tiny', '--model', files.config, '--checkpoint', 'anna/tiny',
               *LICENCE).code == 0
    assert len(hub.commits) == 2


def test_a_task_comes_back_by_its_name(hub, run, files, task, images):
    assert run('push', 'anna/dogs', '--task', task, *LICENCE).code == 0
    page = hub.files['anna/dogs:README.md'].decode()
    assert "task='anna/dogs'" in page and '`red "cat"`' in page and 'shots 5' in page
    assert hub.files['anna/dogs:task.safetensors'] == task.read_bytes()
    for name in ('anna/dogs', 'anna/dogs:task.safetensors'):
        predict = Predictor(files.config, files.checkpoint, task=name, score_threshold=0.)
        assert set(predict(picture(0))[0].names) <= set(CLASSES.values())
    ran = run('predict', images, '--model', files.config, '--checkpoint', files.checkpoint,
              '--task', 'anna/dogs', '--threshold', '0')
    assert ran.code == 0 and 'in 2 images' in ran.out


def test_what_a_dry_run_wrote_is_loaded_by_its_folder(run, files, task):
    for what in (('--task', task), ('--model', files.config, '--checkpoint', files.checkpoint)):
        out = what[0].strip('-')
        assert run('push', 'anna/a', *what, *LICENCE, '--dry-run', '--out', out).code == 0
    predict = Predictor(files.config, 'model', task='task', score_threshold=0.)
    assert set(predict(picture(0))[0].names) <= set(CLASSES.values())
    assert make_question(files.config, None, 'task', 'model').task['file'] == 'task.safetensors'
    assert run('push', 'anna/a', '--task', 'task', *LICENCE, '--dry-run', '--out', 'b').code == 0


def test_a_dry_run_asks_nobody(hub, run, files, monkeypatch):
    monkeypatch.delenv('HF_TOKEN')
    ran = run('push', 'anna/tiny', '--model', files.config, '--checkpoint', files.checkpoint,
              '--dtype', 'float16', '--license', 'other', '--license-name', 'house rules',
              '--license-link', 'https://example.org', '--dry-run', '--out', 'page')
    assert ran == (0, 'page: README.md, config.py, model.safetensors, publication.json\n', '')
    assert not hub.asked and not hub.repositories
    with open('page/README.md') as file:
        assert fields(file.read())['license_name'] == 'house rules'
    assert {str(value.dtype) for value in load_file('page/model.safetensors').values()
            if value.is_floating_point()} == {'torch.float16'}


@pytest.mark.parametrize(('words', 'said'), [
    (('anna', '--model', 'glip-mini', *LICENCE), 'expected a repository as owner/name'),
    (('anna/a/b', '--model', 'glip-mini', *LICENCE), 'expected a repository as owner/name'),
    (('anna/a b', '--model', 'glip-mini', *LICENCE), 'expected a repository as owner/name'),
    (('anna/a', *LICENCE), '--model NAME or --task FILE'),
    (('anna/a', '--model', 'glip-mini'), '(--license NAME); got none (the authors of glip-mini '
     'state: code Apache-2.0, weights Apache-2.0)'),
    (('anna/a', '--model', 'glip-mini', '--license', 'my own'), 'the short name of a licence'),
    (('anna/a', '--model', 'glip-mini', '--license', 'other'), '--license-name with'),
    (('anna/a', '--model', 'none', *LICENCE), 'expected a model name'),
    (('anna/a', '--model', 'glip-mini', '--checkpoint', 'no.pth', *LICENCE), 'no such file'),
    (('anna/a', '--task', 'no.safetensors', *LICENCE), 'expected a task file'),
    (('anna/a', '--model', 'glip-mini', *LICENCE, '--dry-run'), '--dry-run with --out'),
    (('anna/a', '--model', 'glip-mini', *LICENCE, '--metrics', 'no.json'), 'metrics.json'),
])
def test_what_cannot_be_published(hub, refuse, words, said):
    assert said in refuse('push', *words)
    assert not hub.repositories and not hub.commits


def test_a_folder_with_files_is_left_alone(refuse, tmp_path):
    (tmp_path / 'page').mkdir()
    (tmp_path / 'page/mine.txt').write_text('')
    assert 'a new or empty folder' in refuse('push', 'anna/a', '--model', 'glip-mini', *LICENCE,
                                             '--dry-run', '--out', tmp_path / 'page')


@pytest.mark.parametrize(('word', 'status', 'said'), [
    ('whoami', 500, 'expected a token that the hub knows'),
    ('create', 403, 'a repository anna/a that you may write to'),
    ('preupload', 403, 'nothing was committed'), ('batch', 400, 'nothing was committed'),
    ('upload/', 403, 'nothing was committed'), ('commit', 400, 'nothing was committed'),
])
def test_a_hub_that_refuses(hub, run, task, word, status, said):
    hub.refused[word] = status
    ran = run('push', 'anna/a', '--task', task, *LICENCE)
    assert ran.code == 2 and ran.err.count('\n') == 1 and said in ran.err, ran
    assert TOKEN not in ran.out + ran.err
    assert not hub.commits and not hub.files


def test_nobody_to_push_as_and_nowhere_to(refuse, monkeypatch, task):
    words = ('push', 'anna/a', '--task', task, *LICENCE)
    monkeypatch.setenv('HF_TOKEN', 'hf_wrong')
    said = refuse(*words)
    assert 'a token that the hub knows' in said and 'hf_wrong' not in said
    monkeypatch.setenv('HF_ENDPOINT', 'http://127.0.0.1:1')
    assert 'expected a connection to the hub; got no connection to 127.0.0.1' in refuse(*words)
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    assert 'HF_HUB_OFFLINE is set' in refuse(*words)
    monkeypatch.delenv('HF_TOKEN')
    assert 'expected a token of the hub; got none' in refuse(*words)


def test_names_of_repositories_and_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'work_dirs').mkdir()
    for name, found in {
            'anna/fish': ('anna/fish', 'model.safetensors'),
            'hf:anna/fish': ('anna/fish', 'model.safetensors'),
            'anna/glip-1.5': ('anna/glip-1.5', 'model.safetensors'),
            'anna/fish:a.pth': ('anna/fish', 'a.pth'), 'hf:anna/fish/a/b': ('anna/fish', 'a/b'),
            'anna/fish.pth': None, 'fish': None, 'work_dirs/fish': None, 'a/b/c': None,
            '/tmp/fish': None, './fish': None}.items():
        assert hub_file(name) == found, name
    for name in ('anna/fish', 'a/b', 'An-na/fi_sh.2'):
        check_repository(name)
    for name in ('', 'fish', 'a/b/c', '-a/b', 'a/b-', 'a/b..c', 'a/b--c', 'a/b.git', '../b',
                 'a/b\n', 'a/' + 'b' * 97):
        with pytest.raises(UserError):
            check_repository(name)
