"""The benchmark of labelling: a table, and lines that do not depend on the workers."""
from __future__ import annotations

import argparse
import json
import time

import pytest

from glipkit.benchmarks import labelling
from glipkit.benchmarks.harness import Measured, Timing
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import write_config


def arguments(*words):
    parser = argparse.ArgumentParser()
    labelling.add_arguments(parser)
    return parser.parse_args([*words])


@pytest.mark.parametrize(('words', 'said'), [
    (['--pairs', '0'], 'pairs, workers'), (['--workers', '0'], 'pairs, workers'),
    (['--rounds', '0'], '1 round'), (['--dtype', 'half'], 'half'),
    (['--config', 'glip-t-c'], 'weights')])
def test_what_cannot_be_measured_is_refused(words, said):
    with pytest.raises(UserError, match=said):
        labelling.run(arguments(*words))


def test_lines_that_depend_on_the_workers_are_refused():
    labelling._check_equal(['a', 'a'])
    with pytest.raises(UserError, match='same lines'):
        labelling._check_equal(['a', 'b'])


def in_this_process(calls, rounds, warmup):
    """As `alternate_processes`, without a process for each."""
    measured = {}
    for name, call in calls.items():
        assert call.target == 'glipkit.benchmarks.labelling:Job'
        job = labelling.Job(**call.arguments)
        seconds = []
        for _ in range(rounds):
            begin = time.perf_counter()
            job()
            seconds.append(time.perf_counter() - begin)
        measured[name] = Measured(Timing(seconds), 1, 1, job.details)
    return measured


def test_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, 'alternate_processes', in_this_process)
    result = json.loads(json.dumps(labelling.run(arguments(
        '--config', str(write_config(tmp_path)), '--checkpoint', 'random', '--pairs', '3',
        '--rounds', '2', '--workers', '2', '--batch-size', '2'))))
    assert [row['candidate'] for row in result['rows']] == [
        labelling.SINGLE, labelling.ONE, '2 workers']
    for row in result['rows']:
        assert row['CPU s'] > 0
        assert row['pairs / s'] == pytest.approx(3 / row['median s'], rel=0.02)
    digests = {result['measured'][name]['facts']['lines'] for name in (labelling.ONE, '2 workers')}
    assert len(digests) == 1 and digests != {''}
