"""Concept pools: which nouns, how often, embedded how; kills, and captions without use."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from glipkit.apis.build import load
from glipkit.checkpoints import save_checkpoint
from glipkit.cli.main import main
from glipkit.common.reporter import reporting
from glipkit.data.formats.caption_texts import caption_files, caption_texts
from glipkit.errors import UserError
from glipkit.labelling import ConceptSettings, concepts, make_pool
from glipkit.models.alignment.label_embeddings import LabelEmbeddings
from glipkit.testing.tiny_pretraining import write_config
from glipkit.text.bank import TextBank
from tests.recorder import Recorder
from tests.test_data.test_caption_shards import write_tar

REPOSITORY = Path(__file__).parents[2]
CAPTIONS = ['a dog and two dogs', 'a dog chases a cat', 'two fire trucks', 'a red cat', 'one tree']
COUNTS = dict(cat=2, dog=2)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Config and weights of a tiny model with CLIP's text encoder."""
    folder = tmp_path_factory.mktemp('model')
    config, weights = write_config(folder), folder / 'tiny.safetensors'
    torch.manual_seed(0)
    save_checkpoint(load(config, 'random'), weights)
    return str(config), str(weights)


@pytest.fixture(scope='module')
def encoder(model):
    return load(*model).text_encoder


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / 'captions.txt'
    path.write_text('\n'.join(CAPTIONS))
    return path


def contents(path):
    """All of a pool; safetensors has no order in what it says beside the tensors."""
    bank = TextBank.read(path)
    return bank.names, bank.counts, bank.templates, bank.encoder, bank.embeddings.tolist()


def settings(**changes):
    return ConceptSettings(**{**dict(min_count=2, templates='name'), **changes})


def test_frequent_nouns_with_their_embeddings(captions, encoder, tmp_path):
    out = tmp_path / 'new' / 'pool.safetensors'
    with reporting(Recorder()) as heard:
        bank = make_pool([captions], out, encoder, settings(templates='imagenet_and_name'),
                         tmp_path / 'names.txt')
    assert dict(zip(bank.names, bank.counts)) == COUNTS  # a caption counts once
    assert heard.notes == ['2 concepts'] and len(bank.templates) == 81
    kept = TextBank.read(out)
    assert (kept.names, kept.counts) == (('cat', 'dog'), (2, 2))
    wanted = LabelEmbeddings()(encoder, kept.names, 'imagenet_and_name')
    torch.testing.assert_close(kept.embeddings, wanted)
    assert (tmp_path / 'names.txt').read_text() == 'cat,2\ndog,2\n'
    assert sorted(p.name for p in out.parent.iterdir()) == ['pool.safetensors']


def test_captions_of_every_format(tmp_path):
    (tmp_path / 'a.txt').write_text('\n'.join(CAPTIONS) + '\n\n')
    (tmp_path / 'b.jsonl').write_text('\n'.join(json.dumps({'caption': c}) for c in CAPTIONS))
    write_tar(tmp_path / 'c.tar', [dict(captions=CAPTIONS[:3]), dict(captions=CAPTIONS[3:])])
    (tmp_path / 'd.tsv').write_text(''.join(f'k\t{json.dumps({"captions": [c]})}\n'
                                            for c in CAPTIONS))
    (tmp_path / 'e.json').write_text(json.dumps(
        dict(annotations=[dict(caption=c) for c in CAPTIONS])))
    files = caption_files([tmp_path])
    assert [path.name for path in files] == ['a.txt', 'b.jsonl', 'c.tar', 'd.tsv', 'e.json']
    assert all(list(caption_texts(path)) == CAPTIONS for path in files)
    with pytest.raises(UserError, match='captions in .*; got .*nowhere: nothing there'):
        caption_files([tmp_path / 'nowhere'])
    (tmp_path / 'e.json').write_text('{}')
    with pytest.raises(UserError, match="a COCO json whose annotations have a 'caption'"):
        list(caption_texts(tmp_path / 'e.json'))


def test_counts_of_many_files_are_added(tmp_path, encoder):
    for name in 'ab':
        (tmp_path / f'{name}.txt').write_text('a cat\na dog\n' if name == 'a' else 'two cats')
    bank = make_pool([tmp_path], tmp_path / 'out' / 'pool.safetensors', encoder, settings())
    assert (bank.names, bank.counts) == (('cat', ), (2, ))


def test_given_concepts_are_all_embedded(tmp_path, encoder):
    (tmp_path / 'names.txt').write_text('hot dog\ntraffic+light\n')
    bank = make_pool([tmp_path / 'names.txt'], tmp_path / 'pool.safetensors', encoder, settings(),
                     tmp_path / 'again.txt', given=True)
    assert bank.names == ('hot dog', 'traffic light') and bank.counts is None
    assert (tmp_path / 'again.txt').read_text() == 'hot dog\ntraffic light\n'
    (tmp_path / 'names.txt').write_text('hot dog,3\ncat,7\n')
    bank = make_pool([tmp_path / 'names.txt'], tmp_path / 'pool.safetensors', encoder, settings(),
                     given=True)
    assert (bank.names, bank.counts) == (('cat', 'hot dog'), (7, 3))


@pytest.mark.parametrize('content, words, message', [
    ('', [], 'expected captions; got none in'),
    ('it is raining\nof the and\n', [], '2 captions in .* without a noun'),
    ('\n'.join(CAPTIONS), ['--min-count', '3'], "got 'cat' as the most frequent, 2 times"),
    ('\n'.join(CAPTIONS), ['--min-count', '0'], 'min_count of at least 1'),
    ('\n'.join(CAPTIONS), ['--templates', 'none'], 'a set of templates'),
    ('\n'.join(CAPTIONS), ['--out', 'pool.pth'], 'ends in .safetensors'),
    ('\n'.join(CAPTIONS), ['--phrases', 'magic'], 'a phrase back end'),
    ('', ['--given'], 'which is empty'),
])
def test_nothing_to_embed_is_one_line(model, captions, capsys, tmp_path, content, words, message):
    captions.write_text(content)
    out = tmp_path / 'out' / 'pool.safetensors'
    code = main(['concepts', str(captions), '--model', model[0], '--checkpoint', model[1],
                 '--min-count', '2', '--out', str(out), *words])
    said = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and len(said) == 1, said
    assert re.search(message, said[0]), said[0]
    assert not out.exists()
    if 'noun' in message or 'captions;' in message:
        assert not list(out.parent.glob('.*'))


def test_the_command(model, captions, capsys, tmp_path):
    out = tmp_path / 'pool.safetensors'
    words = ['concepts', str(captions), '--model', model[0], '--checkpoint', model[1],
             '--min-count', '2', '--out', str(out)]
    assert main([*words, '--templates', 'name']) == 0
    assert '2 concepts of 24 numbers each' in capsys.readouterr().out
    assert TextBank.read(out).names == ('cat', 'dog')
    assert main(['concepts', str(captions), '--model', 'glip-mini', '--out', str(out)]) == 2
    assert 'one row of features per text' in capsys.readouterr().err
    assert main(['concepts', str(captions), '--model', model[0], '--out', str(out)]) == 2
    assert 'pass --checkpoint FILE' in capsys.readouterr().err


def test_an_interrupted_run_resumes(captions, encoder, tmp_path, monkeypatch):
    """Nothing is counted or embedded twice, and the file is the same."""
    monkeypatch.setattr(concepts, 'PART', 1)
    make_pool([captions], tmp_path / 'whole.safetensors', encoder, settings())
    read, seen = LabelEmbeddings.__call__, []

    def dies(self, encoder, names, templates):
        if len(seen) == 1:
            raise KeyboardInterrupt
        return seen.append(names) or read(self, encoder, names, templates)

    monkeypatch.setattr(LabelEmbeddings, '__call__', dies)
    out = tmp_path / 'cut.safetensors'
    with pytest.raises(KeyboardInterrupt):
        make_pool([captions], out, encoder, settings())
    assert not out.exists()
    monkeypatch.setattr(LabelEmbeddings, '__call__', lambda self, encoder, names, templates: (
        seen.append(names) or read(self, encoder, names, templates)))
    monkeypatch.setattr(concepts, 'count_nouns', lambda *_: pytest.fail('counted twice'))
    make_pool([captions], out, encoder, settings())
    assert [tuple(names) for names in seen] == [('cat', ), ('dog', )]
    assert contents(out) == contents(tmp_path / 'whole.safetensors')
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ['.safetensors'] * 2 + ['.txt']


def test_a_lower_threshold_counts_nothing_again(captions, encoder, tmp_path, monkeypatch):
    out = tmp_path / 'pool.safetensors'
    with pytest.raises(UserError, match='lower --min-count'):
        make_pool([captions], out, encoder, settings(min_count=3))
    with monkeypatch.context() as patch:
        patch.setattr(concepts, 'count_nouns', lambda *_: pytest.fail('counted twice'))
        assert make_pool([captions], out, encoder, settings(min_count=1)).names[-1] == 'tree'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['captions.txt', out.name]
    captions.write_text('a boat')  # other captions: all begins anew
    assert make_pool([captions], out, encoder, settings(min_count=1)).names == ('boat', )


KILLER = '''
import os, signal, sys
from glipkit.cli.main import main
from glipkit.labelling import concepts
concepts.PART = 1
write = concepts.TextBank.write

def killed(self, path):
    write(self, path)
    if self.names == ('dog',):
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv.pop(1) == 'kill':
    concepts.TextBank.write = killed
sys.exit(main(sys.argv[1:]))
'''


@pytest.mark.slow
def test_a_killed_run_resumes(model, captions, tmp_path):
    def run(mode, out):
        return subprocess.run(
            [sys.executable, '-c', KILLER, mode, 'concepts', str(captions), '--model', model[0],
             '--checkpoint', model[1], '--min-count', '1', '--templates', 'name', '--out',
             str(out)], env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'},
            capture_output=True, text=True, timeout=200)

    (tmp_path / 'out').mkdir()
    out, whole = tmp_path / 'out' / 'cut.safetensors', tmp_path / 'out' / 'whole.safetensors'
    assert run('kill', out).returncode == -signal.SIGKILL and not out.exists()
    assert run('go', out).returncode == run('go', whole).returncode == 0
    assert contents(out) == contents(whole)
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, whole.name]
