"""Whole processes are run and counted; one that fails says why."""
from __future__ import annotations

import os

import pytest

from glipkit.benchmarks import cold_start
from glipkit.benchmarks.cold_start import Process, programs
from glipkit.cli.main import main
from glipkit.errors import UserError


def test_what_a_process_took(tmp_path):
    process = Process(('-c', 'bytearray(b"x") * 2**26; sum(range(10**6))'), tmp_path,
                      dict(os.environ))
    process()
    process()
    assert len(process.cpu_seconds) == 2 and min(process.cpu_seconds) > 0


def test_a_process_that_fails(tmp_path):
    with pytest.raises(UserError, match='expected a program that ends well; got .*no luck'):
        Process(('-c', 'raise SystemExit("no luck")'), tmp_path, dict(os.environ))()


def test_the_command(monkeypatch, capsys):
    monkeypatch.setattr(cold_start, 'programs', lambda folder: {
        name: process for name, process in programs(folder).items() if 'help' in name})
    assert main(['bench', 'cold-start', '--rounds', '2', '--warmup', '0']) == 0
    assert '| glipkit --help |' in capsys.readouterr().out
    assert main(['bench', 'cold-start', '--rounds', '0']) == 2
    assert 'at least 1 round' in capsys.readouterr().err


@pytest.mark.slow
def test_predictions_of_whole_processes(tmp_path):
    predictions = [process for name, process in programs(tmp_path).items()
                   if 'predict' in name]
    assert len(predictions) == 2
    for process in predictions:
        # Compiled files of all libraries take a minute.
        del process.environment['PYTHONPYCACHEPREFIX']
        process.environment['PYTHONDONTWRITEBYTECODE'] = '1'
        process()
    assert (tmp_path / 'found').is_dir()
