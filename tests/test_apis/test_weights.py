"""Weights by name: from the hub once, then from this machine, and never another file unnoticed."""
from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import glipkit
from glipkit.apis import build, index, weights
from glipkit.apis.build import checkpoint_for
from glipkit.apis.index import model_index
from glipkit.apis.training import load_config
from glipkit.apis.training import test as evaluate
from glipkit.apis.weights import NoWeights, fetch_weights, find_weights, kept_file
from glipkit.checkpoints import save_checkpoint
from glipkit.cli.main import main
from glipkit.common.paths import weights_folder
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import TINY_CONFIG, picture
from tests.hub_server import serving

ROOT = Path(__file__).parents[2]
FIRST, SECOND = 'first/models:tiny.pth', 'second/models:tiny.pth'
INDEX = '''
tiny:
  about: on the hub
  config: tiny/tiny.py
  sources:
    - {repository: first/models, file: tiny.pth, size: 1.23 GB}
    - {repository: second/models, file: tiny.pth, size: 1.23 GB}
  layout: official
  licence: {code: MIT, weights: none stated}
  published: {'COCO AP (paper)': 42.9}
tiny-sealed:
  about: whose digest is known
  config: tiny/sealed.py
  sources:
    - {repository: first/models, file: tiny.pth, sha256: DIGEST}
  layout: official
  licence: {code: MIT, weights: MIT}
  published: {}
tiny-drive:
  about: elsewhere
  config: tiny/drive.py
  elsewhere: a shared drive
  files: [drive.pth, other.pth]
  layout: official
  licence: {code: MIT, weights: MIT}
  published: {}
glip-mini:
  about: comes with it
  config: tiny/mini.py
  default: true
  weights: weights/mini.safetensors
  layout: glipkit
  licence: {code: MIT, weights: MIT}
  published: {}
'''


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A model, and its weights as their authors left them: with the optimiser beside them."""
    folder = tmp_path_factory.mktemp('published')
    (folder / 'tiny.py').write_text(TINY_CONFIG)
    torch.manual_seed(3)
    model = build.load(folder / 'tiny.py', 'random')
    save_checkpoint(model, folder / 'own.safetensors')
    assert main(['convert', str(folder / 'own.safetensors'), str(folder / 'tiny.pth'), '--to',
                 'official']) == 0
    content = torch.load(folder / 'tiny.pth', weights_only=True)
    content['optimizer'] = {'moments': torch.zeros(100_000)}
    torch.save(content, folder / 'tiny.pth')
    return model, (folder / 'tiny.pth').read_bytes(), folder


@pytest.fixture
def home(tmp_path, monkeypatch, published):
    """An index of a few tiny models, and an empty folder of weights that is not made yet."""
    configs = tmp_path / 'configs'
    (configs / 'tiny').mkdir(parents=True)
    for name in ('tiny', 'sealed', 'drive', 'mini'):
        (configs / 'tiny' / f'{name}.py').write_text(TINY_CONFIG)
    (tmp_path / 'package/weights').mkdir(parents=True)
    (tmp_path / 'package/weights/mini.safetensors').write_bytes(
        (published[2] / 'own.safetensors').read_bytes())
    digest = hashlib.sha256(published[1]).hexdigest()
    (configs / 'index.yaml').write_text(INDEX.replace('DIGEST', digest))
    for module in (build, index):
        monkeypatch.setattr(module, 'config_root', lambda: configs)
    monkeypatch.setattr(index, 'PACKAGE', tmp_path / 'package')
    monkeypatch.setenv('GLIPKIT_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(weights, '_silent_since', None)
    return tmp_path / 'home'


@pytest.fixture
def hub(monkeypatch, published, home):
    """A hub that has the weights twice."""
    import huggingface_hub.constants
    import huggingface_hub.file_download
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr(huggingface_hub.constants, 'DOWNLOAD_CHUNK_SIZE', 1000)
    monkeypatch.setattr(huggingface_hub.file_download.time, 'sleep', lambda _: None)
    monkeypatch.delenv('HF_HUB_OFFLINE')
    with serving({FIRST: published[1], SECOND: published[1]}) as served:
        monkeypatch.setenv('HF_ENDPOINT', served.url)
        yield served


def entry(name='tiny'):
    return model_index()[name]


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


KEPT = ['tiny.json', 'tiny.safetensors']


def test_a_name_brings_its_weights_once_and_then_without_a_network(hub, home, published,
                                                                   monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        predict = glipkit.Predictor('tiny', score_threshold=0.)
        assert same(predict.model, published[0])
        assert len(hub.transfers) == 1 and names(home) == KEPT
        # The optimiser's numbers are not kept.
        assert kept_file('tiny').stat().st_size < len(published[1]) - 300_000
        hub.asked.clear()
        again = glipkit.Predictor('tiny', score_threshold=0.)
        loaded = glipkit.load('tiny')
        monkeypatch.setenv('HF_HUB_OFFLINE', '1')
        offline = glipkit.Predictor('tiny', score_threshold=0.)
    assert hub.asked == [] and same(loaded, published[0])
    found = [one(picture(), classes=['dog'])[0] for one in (predict, again, offline)]
    assert len(found[0]) and all(np.array_equal(found[0].boxes, other.boxes) for other in found)


def test_the_record_says_where_the_weights_come_from(hub, home, published):
    fetch_weights(entry())
    record = json.loads((home / 'tiny.json').read_text())
    digest = hashlib.sha256(published[1]).hexdigest()
    assert record['source'] == FIRST and record['sha256'] == digest
    assert record['size'] == len(published[1]) and record['digests'] == {FIRST: digest}
    assert record['kept_sha256'] == hashlib.sha256(kept_file('tiny').read_bytes()).hexdigest()


@pytest.mark.parametrize('seed', range(3))
def test_a_download_that_is_cut_and_repeated_gives_the_same_file(hub, home, published, seed):
    whole = fetch_weights(entry()).read_bytes()
    for path in home.iterdir():
        path.unlink()
    cut = int(np.random.default_rng(seed).integers(1, len(published[1])))
    hub.cuts = [cut, *[0] * 99]  # the second source breaks as well
    with pytest.raises(UserError, match='the same again goes on from there') as caught:
        fetch_weights(entry())
    assert not isinstance(caught.value, NoWeights) and '\n' not in str(caught.value)
    assert not kept_file('tiny').exists()
    hub.asked.clear()
    hub.cuts.clear()
    assert fetch_weights(entry()).read_bytes() == whole
    assert hub.transfers == [cut // 1000 * 1000] and names(home) == KEPT


def test_another_source_goes_on_with_what_the_first_began(hub, published):
    hub.cuts = [5500, *[0] * 99]
    hub.broken = FIRST
    fetch_weights(entry())
    assert [(name, start) for method, name, start in hub.asked if method == 'GET'][-1] == \
        (SECOND, 5000)


@pytest.mark.parametrize('fault', ['missing', 'digest', 'size', 'another model', 'no checkpoint'])
def test_the_second_source_is_asked_where_the_first_fails(hub, home, published, fault):
    if fault == 'missing':
        del hub.files[FIRST]
    elif fault == 'digest':
        hub.digests[FIRST] = 'b' * 64
    elif fault == 'size':
        hub.sizes[FIRST] = 77
    else:
        hub.files[FIRST] = b'<html>a page</html>' if fault == 'no checkpoint' else bytes(5000)
    if fault in ('another model', 'no checkpoint'):  # as promised, so nobody may take another
        with pytest.raises(UserError, match='complete checkpoint') as caught:
            fetch_weights(entry())
        assert FIRST in str(caught.value) and str(home) not in str(caught.value)
        assert names(home) == []
        return
    fetch_weights(entry())
    assert names(home) == KEPT and json.loads((home / 'tiny.json').read_text())['source'] == SECOND


@pytest.mark.parametrize(('wrong', 'said'), [('digests', 'sha256 is'), ('sizes', '99 bytes')])
def test_what_is_not_as_promised_is_refused_in_one_line_and_not_kept(hub, home, wrong, said):
    for source in (FIRST, SECOND):
        getattr(hub, wrong)[source] = 99 if wrong == 'sizes' else 'b' * 64
    with pytest.raises(UserError, match=said) as caught:
        glipkit.load('tiny')  # which does not go on with random weights then
    assert 'nothing of it is kept' in str(caught.value) and '\n' not in str(caught.value)
    assert names(home) == []


def test_a_source_that_later_offers_another_file_is_refused(hub, home, published):
    before = fetch_weights(entry()).read_bytes()
    for source in (FIRST, SECOND):
        hub.files[source] = published[1][:-1] + b'x'
    del hub.files[SECOND]
    hub.asked.clear()
    with pytest.raises(UserError, match='as when it was fetched first') as caught:
        fetch_weights(entry(), force=True)
    assert str(home / 'tiny.json') in str(caught.value) and hub.transfers == []
    assert kept_file('tiny').read_bytes() == before and names(home) == KEPT
    hub.digests[FIRST] = ''  # the hub does not say, so it shows only afterwards
    with pytest.raises(UserError, match='as when it was fetched first'):
        fetch_weights(entry(), force=True)
    assert kept_file('tiny').read_bytes() == before and names(home) == KEPT


def test_the_digest_of_the_index_decides(hub, home, published):
    fetch_weights(entry('tiny-sealed'))
    hub.files[FIRST] = published[1][:-1] + b'x'
    hub.asked.clear()
    with pytest.raises(UserError, match='as the index of models says'):
        fetch_weights(entry('tiny-sealed'), force=True)
    assert hub.transfers == []


def test_force_fetches_anew(hub, home):
    first = fetch_weights(entry()).stat().st_mtime_ns
    assert fetch_weights(entry(), force=True).stat().st_mtime_ns > first
    assert len(hub.transfers) == 2


def test_no_network_is_one_line_with_all_that_is_needed(home):
    with pytest.raises(NoWeights) as caught:
        glipkit.Predictor('tiny')
    line = str(caught.value)
    for word in ('tiny.pth', '1.23 GB', 'first/models', 'second/models', str(home),
                 '--checkpoint'):
        assert word in line
    assert '\n' not in line and not home.exists()


def test_load_goes_on_with_random_weights_and_says_the_same_line(home):
    with pytest.warns(UserWarning, match='tiny has random weights') as caught:
        glipkit.load('tiny')
    said, = [str(w.message) for w in caught if 'random weights' in str(w.message)]
    assert all(word in said for word in ('tiny.pth', '1.23 GB', 'first/models', str(home)))


def test_load_does_not_wait_for_a_silent_hub_again_and_again(home, monkeypatch):
    from glipkit.checkpoints.download import FetchError
    asked = []

    def silent(*source):
        asked.append(source)
        raise FetchError('no network', 'silence')

    monkeypatch.setattr(weights, 'ask', silent)
    for _ in range(3):
        with pytest.warns(UserWarning, match='random weights'):
            glipkit.load('tiny')
    assert len(asked) == 1
    with pytest.raises(NoWeights):
        fetch_weights(entry())
    assert len(asked) == 2


def test_the_path_of_a_config_asks_no_hub_in_load(hub, home):
    path = entry().config
    with pytest.warns(UserWarning, match='tiny has random weights: no checkpoint was given'):
        glipkit.load(path)
    assert hub.asked == []
    fetch_weights(entry())
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        glipkit.load(path)


def test_random_weights_have_to_be_asked_for(home, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text(TINY_CONFIG)
    with pytest.raises(NoWeights, match='none: glipkit comes without them'):
        glipkit.Predictor(config)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        glipkit.Predictor(config, 'random')
        glipkit.Predictor('tiny', 'random')
    cfg = load_config(str(config))
    cfg.test_dataloader = cfg.test_evaluator = {}
    with pytest.raises(NoWeights, match='random'):
        evaluate(cfg)


def test_a_model_that_is_on_no_hub_says_where_it_is(home):
    with pytest.raises(NoWeights) as caught:
        checkpoint_for('tiny-drive')
    assert 'none on the hub: a shared drive' in str(caught.value)
    assert f'put drive.pth or other.pth into {home}' in str(caught.value)


@pytest.mark.parametrize(('name', 'file'), [('tiny', 'tiny.pth'), ('tiny-drive', 'other.pth')])
def test_a_file_that_is_put_there_by_hand_is_converted_once_and_stays(home, published, name, file):
    home.mkdir()
    (home / file).write_bytes(published[1])
    assert same(glipkit.load(name), published[0])
    assert names(home) == sorted([file, f'{name}.json', f'{name}.safetensors'])
    before = kept_file(name).stat().st_mtime_ns
    assert fetch_weights(entry(name)).stat().st_mtime_ns == before
    assert (home / file).read_bytes() == published[1]


def test_a_wrong_file_by_hand_is_refused(home, published):
    home.mkdir()
    (home / 'tiny.pth').write_bytes(published[1][:5000])
    with pytest.raises(UserError, match='cut off') as caught:
        fetch_weights(entry())
    assert str(home / 'tiny.pth') in str(caught.value)
    (home / 'tiny.pth').write_bytes(published[1] + b'x')
    with pytest.raises(UserError, match='sha256'):
        fetch_weights(entry('tiny-sealed'))
    assert names(home) == ['tiny.pth']


def test_a_kept_file_that_was_cut_is_named(hub, home):
    kept = fetch_weights(entry())
    os.truncate(kept, 1000)
    with pytest.raises(UserError, match='glipkit models fetch tiny --force'):
        find_weights(entry())
    assert fetch_weights(entry(), force=True) == kept
    find_weights(entry())


def test_a_disk_without_room_is_known_before_the_transfer(hub, home, monkeypatch):
    usage = weights.shutil.disk_usage(home.parent)
    monkeypatch.setattr(weights.shutil, 'disk_usage', lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match='1000 free') as caught:
        fetch_weights(entry())
    assert hub.transfers == [] and names(home) == [] and '\n' not in str(caught.value)


def test_a_disk_that_is_full_when_converting_keeps_the_download_alone(hub, home, monkeypatch):
    from glipkit.checkpoints import files

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, 'save_file', full)
        with pytest.raises(UserError, match='the download stays in') as caught:
            fetch_weights(entry())
    left, = home.iterdir()
    assert str(left) in str(caught.value) and '\n' not in str(caught.value)
    hub.asked.clear()
    fetch_weights(entry())
    assert hub.transfers == [] and names(home) == KEPT


def test_a_folder_that_cannot_be_made_is_one_line(hub, home):
    home.write_text('a file')
    with pytest.raises(UserError, match='a folder that can be made'):
        fetch_weights(entry())


def test_of_several_threads_one_fetches(hub, home):
    found, failed = [], []

    def work():
        try:
            found.append(fetch_weights(entry()))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and set(found) == {kept_file('tiny')}
    assert len(hub.transfers) == 1 and names(home) == KEPT


PROCESS = '''
import sys
from pathlib import Path
from glipkit.apis import build, index, weights
root = Path(sys.argv[1])
for module in (build, index):
    module.config_root = lambda: root / 'configs'
print(weights.fetch_weights(index.model_index()['tiny']))
'''


@pytest.mark.slow
def test_of_several_processes_one_fetches(hub, home, tmp_path):
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    started = [subprocess.Popen([sys.executable, '-c', PROCESS, str(tmp_path)], env=env, text=True,
                                stdout=subprocess.PIPE) for _ in range(2)]
    out = [process.communicate(timeout=60)[0].strip() for process in started]
    assert out == [str(kept_file('tiny'))] * 2
    assert len(hub.transfers) == 1 and names(home) == KEPT


def test_the_folder_is_the_users_or_the_platforms(monkeypatch, tmp_path):
    monkeypatch.delenv('GLIPKIT_HOME')
    monkeypatch.setattr(sys, 'platform', 'linux')
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    assert weights_folder() == tmp_path / '.cache/glipkit'
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'x'))
    assert weights_folder() == tmp_path / 'x/glipkit'
    monkeypatch.setenv('GLIPKIT_HOME', '~/mine')
    assert weights_folder() == tmp_path / 'mine'


def test_the_command_lists_fetches_and_finds(hub, home, capsys):
    assert main(['models']) == 0
    text = capsys.readouterr().out
    for word in ('tiny', 'COCO AP (paper) 42.9', 'weights none stated', '1.23 GB', 'first/models',
                 'comes with glipkit', 'put drive.pth or other.pth', str(home)):
        assert word in text
    assert main(['models', 'where', 'tiny']) == 2
    assert 'glipkit models fetch tiny' in capsys.readouterr().err
    assert main(['models', 'fetch', 'tiny']) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(kept_file('tiny'))
    assert main(['models', 'where', 'tiny']) == 0
    assert capsys.readouterr().out == f'{kept_file("tiny")}\n'
    assert main(['models', 'fetch', 'tiny', '--force']) == 0
    assert main(['models', 'fetch', 'none']) == 2
    assert 'a model name (glip-mini, tiny' in capsys.readouterr().err
    assert main(['models', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['folder'] == str(home) and found['models']['tiny']['here'] == 'kept'
    assert found['models']['glip-mini']['here'] == 'ships'
    assert found['models']['tiny-drive']['here'] == '' and \
        found['models']['tiny-drive']['files'] == ['drive.pth', 'other.pth']
    os.truncate(kept_file('tiny'), 10)
    assert main(['models']) == 0
    assert 'damaged' in capsys.readouterr().out


def test_predict_takes_a_name(hub, home, tmp_path, capsys):
    from PIL import Image
    Image.fromarray(picture()).save(tmp_path / 'a.png')
    words = ['predict', str(tmp_path / 'a.png'), '--classes', 'dog', '--threshold', '0']
    assert main([*words, '--model', 'tiny']) == 0
    ran = capsys.readouterr()
    assert 'found in 1 image' in ran.out and '\r' not in ran.out + ran.err
    assert main([*words, '--config', 'tiny-drive']) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and re.search('drive.pth or other.pth', error)
    assert main([*words, '--model', 'tiny-drive', '--checkpoint', 'random']) == 0


def test_a_person_at_a_terminal_sees_a_bar_though_no_command_reports(monkeypatch):
    class Terminal(io.StringIO):

        def isatty(self):
            return True

    monkeypatch.setattr(sys, 'stderr', Terminal())
    monkeypatch.setenv('COLUMNS', '80')
    with weights._bar(entry('glip-mini'), 1000, 0) as bar:
        bar.update(500)
    assert 'fetching glip-mini' in sys.stderr.getvalue()
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    with weights._bar(entry('glip-mini'), 1000, 0) as bar:
        bar.update(500)
    assert sys.stderr.getvalue() == ''
