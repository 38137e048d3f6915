"""Units that are kept: what is done stays done, whoever does it."""
from __future__ import annotations

import json
import multiprocessing
import time

import pytest

from glipkit.common.reporter import reporting
from glipkit.runs.results import read_results
from glipkit.runs.units import Unit, run_units
from tests.recorder import Recorder


@pytest.fixture
def heard():
    with reporting(Recorder()) as recorder:
        yield recorder


def make_unit(path, done, seconds=10.):
    def work():
        done.append(path.stem)
        path.write_text(json.dumps({'name': path.stem}))

    return Unit(path.stem, path, seconds, work)


def test_only_what_has_no_result_is_done(tmp_path, heard):
    done = []
    units = [make_unit(tmp_path / f'{name}.json', done) for name in 'abc']
    units[1].work()
    run_units(units)
    assert done == ['b', 'a', 'c'] and all(unit.done for unit in units)
    assert [line.split(':')[0] for line in heard.notes] == ['[1/3] a', '[3/3] c']
    assert heard.notes[-1].endswith('about 0.0 h left')
    run_units(units)
    assert done == ['b', 'a', 'c'] and len(heard.notes) == 2
    assert read_results({unit.name: unit.result for unit in units})['b'] == {'name': 'b'}
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.json', 'b.json', 'c.json']


def test_the_time_left_follows_from_what_was_needed(tmp_path, monkeypatch, heard):
    clock = iter([0., 3600., 3600., 7200.])
    monkeypatch.setattr('glipkit.runs.units.time.monotonic', lambda: next(clock))
    run_units([make_unit(tmp_path / 'a', [], 10.), make_unit(tmp_path / 'b', [], 5.)])
    # An hour for what was thought to take 10 s: half an hour for 5 s.
    assert '[1/2] a: 60.0 min; about 0.5 h left' in heard.notes


def test_what_a_killed_process_left_of_a_result_goes_with_its_next_start(tmp_path):
    left = tmp_path / '.a.json.abc_0123.part'
    others = tmp_path / '.b.json.abc_0123.part'
    left.write_text('{')
    others.write_text('{')
    run_units([make_unit(tmp_path / 'a.json', [])])
    assert not left.exists() and others.exists()


def _slow(folder):
    def work():
        with (folder / 'log').open('a') as file:
            file.write('x')
        time.sleep(.3)
        (folder / 'a.json').write_text('{}')

    run_units([Unit('a', folder / 'a.json', 1., work)])


def test_of_two_processes_one_does_a_unit(tmp_path):
    processes = [multiprocessing.get_context('fork').Process(target=_slow, args=(tmp_path, ))
                 for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / 'log').read_text() == 'x'
