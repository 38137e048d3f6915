"""A folder belongs to one run: claimed, resumed, refused, tidied up."""
from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from glipkit import files
from glipkit.errors import UserError
from glipkit.runs.folder import LOCK, SETTINGS, claim, claimed, kept_manifest
from glipkit.runs.locks import locked

FORK = multiprocessing.get_context('fork')
#: As atomic() names what it has not finished, and as version 0.1.0 did.
UNFINISHED = f'.{SETTINGS}.ab_01xyz.part'
OLDER = f'.{SETTINGS}.ab_01xyz'


def test_a_folder_has_one_run(tmp_path):
    folder = tmp_path / 'run'
    assert claim(folder, {'a': 1}) is False
    (folder / 'more').write_text('')
    assert claim(folder, {'a': 1}) is True
    with pytest.raises(UserError, match='other settings.*: a, b') as error:
        claim(folder, {'a': 2, 'b': 3})
    assert str(folder) in str(error.value)
    assert json.loads((folder / SETTINGS).read_text()) == {'a': 1}


def test_what_json_changes_is_no_difference(tmp_path):
    identity = {'seeds': (1, 2), 'path': Path('a/b'), 'shots': {5: None}}
    assert claim(tmp_path, identity) is False
    # Written by an earlier version, with another order and layout.
    kept = json.loads((tmp_path / SETTINGS).read_text())
    (tmp_path / SETTINGS).write_text(json.dumps(dict(reversed(kept.items()))))
    assert claim(tmp_path, identity) is True


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / 'thesis.tex').write_text('x')
    for take in (claim, lambda folder, identity: claimed(folder, identity).__enter__()):
        with pytest.raises(UserError, match='other files, e.g. thesis.tex'):
            take(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


@pytest.mark.parametrize('left', [(), (LOCK, ), (UNFINISHED, ), (OLDER, ), (LOCK, UNFINISHED)])
def test_killed_before_the_identity_was_in_place(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text('{"a"')
    with claimed(tmp_path, {'a': 1}) as resumed:
        assert not resumed
        assert [path.name for path in tmp_path.iterdir() if path.name != LOCK] == [SETTINGS]
    assert [path.name for path in tmp_path.iterdir()] == [SETTINGS]


def test_an_identity_in_a_folder_of_its_own(tmp_path):
    (tmp_path / '.parts').mkdir()
    (tmp_path / '.parts/.run.json.ab_01xyz').write_text('')
    with claimed(tmp_path, {}, '.parts/run.json'):
        assert [path.name for path in (tmp_path / '.parts').iterdir()] == ['run.json']
    other = tmp_path / 'other'
    (other / '.parts').mkdir(parents=True)
    (other / '.parts/mine').write_text('')
    with pytest.raises(UserError, match='other files'):
        claim(other, {}, '.parts/run.json')


def test_names_that_only_look_like_ours_are_foreign(tmp_path):
    for name in ('.settings.json', f'.{SETTINGS}.swp', '.settings.json.UPPER123', 'settings.json~'):
        (tmp_path / name).write_text('')
        with pytest.raises(UserError, match='other files'):
            claim(tmp_path, {})
        (tmp_path / name).unlink()


def _die_in_atomic(folder):
    with claimed(folder, {}):
        (folder / 'deep').mkdir()
        with files.atomic(folder / 'deep/result') as temporary, \
                files.atomic_folder(folder / 'whole') as inside:
            temporary.write_text('half')
            (inside / 'some').write_text('half')
            os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_run_left_unfinished_goes_with_the_next_start(tmp_path):
    process = FORK.Process(target=_die_in_atomic, args=(tmp_path, ))
    process.start()
    process.join(20)
    assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.rglob('.*.part'))) == 2
    mine = ['.vscode.settings', 'notes.part', '.notes.part', '.a.B2345678.part']
    for name in mine:
        (tmp_path / name).write_text('mine')
    claim(tmp_path, {})  # shared runs leave alone what may be another process's
    assert len(list(tmp_path.rglob('.*.????????.part'))) == 3
    with claimed(tmp_path, {}) as resumed:
        assert resumed
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [*mine, LOCK, SETTINGS, 'deep'])
        assert not list((tmp_path / 'deep').iterdir())


def _work(folder, begun):
    with claimed(folder, {'a': 1}):
        begun.set()
        time.sleep(60)


def test_a_second_process_is_one_clear_error(tmp_path):
    begun = FORK.Event()
    process = FORK.Process(target=_work, args=(tmp_path, begun))
    process.start()
    try:
        assert begun.wait(20)
        temporary = tmp_path / '.result.ab_01xyz.part'
        temporary.write_text('of the first')
        with pytest.raises(UserError, match='no other process'), claimed(tmp_path, {'a': 1}):
            pass
        assert temporary.exists()
    finally:
        process.kill()
        process.join(20)
    with claimed(tmp_path, {'a': 1}) as resumed:
        assert resumed and not temporary.exists()


@pytest.mark.parametrize('content', [b'', b'\0' * 40])
def test_an_identity_that_the_power_has_taken(tmp_path, content):
    (tmp_path / SETTINGS).write_bytes(content)
    with claimed(tmp_path, {'a': 1}) as resumed:
        assert not resumed
    assert json.loads((tmp_path / SETTINGS).read_text()) == {'a': 1}
    (tmp_path / SETTINGS).write_bytes(content)
    (tmp_path / 'thesis.tex').write_text('x')  # of which nobody knows now whose it is
    with pytest.raises(UserError, match='other files, e.g. thesis.tex'):
        claim(tmp_path, {'a': 1})


def test_a_damaged_identity_is_refused(tmp_path):
    (tmp_path / SETTINGS).write_text('{"a"')
    with pytest.raises(UserError, match='damaged'):
        claim(tmp_path, {'a': 1})


def test_processes_that_claim_at_once_agree(tmp_path):
    """Of different runs one gets the folder, and the others are told."""
    results = FORK.Queue()

    def take(number):
        try:
            results.put((number, claim(tmp_path / 'run', {'number': number})))
        except UserError:
            results.put((number, None))

    with locked(tmp_path / 'run' / LOCK):  # all of them find an empty folder
        processes = [FORK.Process(target=take, args=(number, )) for number in range(4)]
        for process in processes:
            process.start()
        time.sleep(.2)
    found = dict(results.get(timeout=20) for _ in processes)
    for process in processes:
        process.join(20)
    winner = json.loads((tmp_path / 'run' / SETTINGS).read_text())['number']
    assert found == {number: False if number == winner else None for number in range(4)}


def test_a_manifest_has_one_owner(tmp_path):
    def read():
        return kept_manifest(tmp_path / 'manifest.json', 'source', 'coco', 'coco', {'steps': dict})

    assert read() is None
    content = {'source': 'coco', 'steps': {}}
    (tmp_path / 'manifest.json').write_text(json.dumps(content))
    assert read() == content
    for other in ({'source': 'lvis', 'steps': {}}, {'source': 'coco', 'steps': []}, []):
        (tmp_path / 'manifest.json').write_text(json.dumps(other))
        with pytest.raises(UserError, match='manifest of coco'):
            read()
    with pytest.raises(UserError, match='output folder'):
        kept_manifest(tmp_path / 'manifest.json' / 'x', 'source', 'coco', 'coco', {})
