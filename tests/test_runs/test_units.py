"""Units that are kept: what is done stays done, a folder belongs to one run."""
from __future__ import annotations

import json
import multiprocessing

import pytest

from glipkit.errors import UserError
from glipkit.runs.units import SETTINGS, Job, claim, locked, read_results, run_jobs


def make_job(path, done, seconds=10.):
    def work():
        done.append(path.stem)
        path.write_text(json.dumps({'name': path.stem}))

    return Job(path.stem, path, seconds, work)


def test_only_what_has_no_result_is_done(tmp_path, capsys):
    done = []
    jobs = [make_job(tmp_path / f'{name}.json', done) for name in 'abc']
    jobs[1].work()
    run_jobs(jobs)
    assert done == ['b', 'a', 'c'] and all(job.done for job in jobs)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(':')[0] for line in said] == ['[1/3] a', '[3/3] c']
    assert said[-1].endswith('about 0.0 h left')
    run_jobs(jobs)
    assert done == ['b', 'a', 'c'] and not capsys.readouterr().err
    assert read_results({job.name: job.result for job in jobs})['b'] == {'name': 'b'}


def test_the_time_left_follows_from_what_was_needed(tmp_path, monkeypatch, capsys):
    clock = iter([0., 3600., 3600., 7200.])
    monkeypatch.setattr('glipkit.runs.units.time.monotonic', lambda: next(clock))
    run_jobs([make_job(tmp_path / 'a', [], 10.), make_job(tmp_path / 'b', [], 5.)])
    # An hour for what was thought to take 10 s: half an hour for 5 s.
    assert '[1/2] a: 60.0 min; about 0.5 h left' in capsys.readouterr().err


def test_a_folder_has_one_run(tmp_path):
    folder = tmp_path / 'run'
    claim(folder, {'a': 1})
    (folder / 'more').write_text('')
    claim(folder, {'a': 1})
    with pytest.raises(UserError, match='other settings'):
        claim(folder, {'a': 2})
    assert json.loads((folder / SETTINGS).read_text()) == {'a': 1}


def test_settings_that_are_being_written_are_no_other_files(tmp_path):
    (tmp_path / f'.{SETTINGS}.x1').write_text('{')
    claim(tmp_path, {})
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'mine').write_text('x')
    with pytest.raises(UserError, match='other files'):
        claim(other, {})


def _append(path):
    with locked(path):
        text = path.with_suffix('.txt').read_text()
        path.with_suffix('.txt').write_text(text + 'x')


def test_processes_wait_for_each_other(tmp_path):
    path = tmp_path / 'a.lock'
    (tmp_path / 'a.txt').write_text('')
    processes = [multiprocessing.get_context('fork').Process(target=_append, args=(path, ))
                 for _ in range(4)]
    with locked(path):
        for process in processes:
            process.start()
        processes[0].join(.3)
        assert (tmp_path / 'a.txt').read_text() == ''
    for process in processes:
        process.join(20)
    assert (tmp_path / 'a.txt').read_text() == 'xxxx'
