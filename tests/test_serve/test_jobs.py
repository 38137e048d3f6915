"""The queue between many requests and one model."""
from __future__ import annotations

import threading

import pytest

from glipkit.serve.jobs import Job, JobQueue


@pytest.fixture
def gate():
    return threading.Event()


def queue_of(run, gate, batch_size=3):
    """A queue whose first job, 'wait', holds it until the gate opens."""
    batches = []

    def gated(works):
        batches.append(list(works))
        if works == ['wait']:
            assert gate.wait(20)
            return works
        return run(works)

    queue = JobQueue(gated, batch_size)
    queue.put(Job(None, 'wait'))
    while not batches:
        pass
    return queue, batches


def test_equal_keys_go_together_and_the_oldest_goes_first(gate):
    queue, batches = queue_of(lambda works: [work * 2 for work in works], gate)
    jobs = [Job(key, work) for key, work in
            (('a', 1), ('b', 2), ('a', 3), ('a', 4), ('a', 5), ('b', 6))]
    for job in jobs:
        queue.put(job)
    assert len(queue) == 6
    gate.set()
    assert [job.answer.result(20) for job in jobs] == [2, 4, 6, 8, 10, 12]
    assert batches[1:] == [[1, 3, 4], [2, 6], [5]]
    queue.close(20)


def test_one_bad_job_does_not_spoil_those_beside_it(gate):
    def run(works):
        if 'bad' in works:
            raise MemoryError('too large')
        return works

    queue, batches = queue_of(run, gate)
    jobs = [Job('k', work) for work in (1, 'bad', 3)]
    for job in jobs:
        queue.put(job)
    gate.set()
    assert jobs[0].answer.result(20) == 1 and jobs[2].answer.result(20) == 3
    with pytest.raises(MemoryError):
        jobs[1].answer.result(20)
    assert batches[1:] == [[1, 'bad', 3], [1], ['bad'], [3]]
    queue.close(20)


def test_dropped_jobs_never_run_and_closing_cancels_what_waits(gate):
    queue, batches = queue_of(lambda works: works, gate)
    jobs = [Job('k', work) for work in range(3)]
    for job in jobs:
        queue.put(job)
    queue.drop(jobs[1])
    assert len(queue) == 2
    closing = threading.Thread(target=queue.close)
    closing.start()
    while not jobs[2].answer.cancelled():
        pass
    gate.set()
    closing.join(20)
    late = Job('k', 9)
    queue.put(late)
    assert all(job.answer.cancelled() for job in [*jobs, late]) and batches == [['wait']]
