"""A job in a process of its own: what it answers, and what its end looks like."""
from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from glipkit.benchmarks.worker import Worker, WorkerCall, peak_bytes, resident_bytes, serve
from glipkit.errors import UserError
from tests.test_benchmarks.jobs import MEBIBYTE

ROOT = Path(__file__).resolve().parents[2]
TARGET = 'tests.test_benchmarks.jobs:troubled'


def test_a_process_from_beginning_to_end():
    grow = 300
    job = WorkerCall(TARGET, {'grow': grow}, environment={'PYTHONPATH': str(ROOT)})
    with Worker('it', job) as worker:
        before = worker.idle_bytes
        assert 0 < before
        assert 0 < worker.call() < 60
        # Two copies at most at a time, one at least.
        assert grow * MEBIBYTE < worker.peak_bytes - before < 3 * grow * MEBIBYTE
        with pytest.raises(UserError, match='got the second call'):
            worker.call()
        with pytest.raises(RuntimeError, match='(?s)it failed.*ZeroDivisionError'):
            worker.call()
        assert worker.details == {'calls': 3}
        with pytest.raises(RuntimeError, match='(?s)it ended with code 3.*the last words'):
            worker.call()


def answers_to(*orders: dict) -> list[dict]:
    answers = io.StringIO()
    serve(io.StringIO(''.join(json.dumps(order) + '\n' for order in orders)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_the_child_makes_its_job_once_and_then_calls_it():
    made, called, report = answers_to({'target': TARGET, 'arguments': {'grow': 0}},
                                      {'do': 'call'}, {'do': 'report'})
    assert made['idle_bytes'] > 0
    assert called['seconds'] > 0
    assert report['details'] == {'calls': 1}
    assert report['peak_bytes'] >= made['idle_bytes']


def test_a_job_that_cannot_be_made_says_why():
    answer, = answers_to({'target': 'tests.test_benchmarks.jobs:nobody', 'arguments': {}})
    assert "no attribute 'nobody'" in answer['error']


def test_memory_is_this_process_s():
    assert 10 * MEBIBYTE < resident_bytes() <= peak_bytes() < 2**40
