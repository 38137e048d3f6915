"""Work side by side: results in their order, one core each, no more memory than there is."""
from __future__ import annotations

import threading

import pytest
import torch

from glipkit.common import allocator
from glipkit.common.core_threads import Room, as_here, in_order
from glipkit.common.cores import POOL


def test_results_and_errors_come_in_the_order_of_the_arguments():
    first = threading.Event()

    def work(number):
        if number == 6:
            first.wait(20)  # it is the last to end
        else:
            first.set()
        return 6 / number

    found = in_order(POOL.get(3), work, [6, 3, 0, 1], 3)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        next(found)


@pytest.mark.parametrize('at_once', [1, 2, 5])
def test_no_more_is_taken_than_is_needed(at_once):
    """Arguments are taken in the calling thread, ``at_once`` ahead of the results at most."""
    taken, threads = [], set()

    def arguments():
        for number in range(9):
            taken.append(number)
            threads.add(threading.current_thread())
            yield number

    for number, result in enumerate(in_order(POOL.get(2), abs, arguments(), at_once)):
        assert result == number and len(taken) <= number + at_once
    assert len(taken) == 9 and threads == {threading.current_thread()}
    assert not list(in_order(POOL.get(2), abs, [], at_once))


def test_every_thread_has_a_core_and_the_caller_keeps_its_own():
    before = torch.get_num_threads()
    meet = threading.Barrier(3, timeout=20)  # three threads, none of which does two pieces

    def work(_):
        meet.wait()
        return torch.get_num_threads(), torch.is_grad_enabled(), torch.is_autocast_enabled('cpu')

    with torch.autocast('cpu', torch.bfloat16):
        found = list(in_order(POOL.get(3), as_here(work), range(3), 3))
    assert found == [(1, False, True)] * 3
    assert torch.get_num_threads() == before and torch.is_grad_enabled()
    assert POOL.get(3) is POOL.get(3)


def test_what_finds_no_room_waits():
    room, log = Room(10), []
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with room.of(6):
            inside.set()
            leave.wait(20)
            log.append('left')

    def enter():
        with room.of(5):
            log.append('entered')

    threads = [threading.Thread(target=target) for target in (hold, enter)]
    threads[0].start()
    inside.wait(20)
    with room.of(4):  # both fit
        pass
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(20)
    assert log == ['left', 'entered']
    with room.of(99):  # more than there is, alone
        log.append('large')
    with pytest.raises(ValueError), room.of(10):
        raise ValueError
    with room.of(10):  # an error has left its room
        pass


@pytest.mark.parametrize(('environment', 'chosen'), [
    ({}, False), ({'MALLOC_TRIM_THRESHOLD_': '1'}, True), ({'MALLOC_ARENA_MAX': '2'}, False),
    ({'GLIBC_TUNABLES': 'glibc.malloc.top_pad=1'}, True)])
def test_settings_of_the_user_stay(monkeypatch, environment, chosen):
    monkeypatch.setattr(allocator.os, 'environ', environment)
    called = []
    library = type('Library', (), {'mallopt': staticmethod(lambda *a: called.append(a) or 1)})
    monkeypatch.setattr(allocator.ctypes, 'CDLL', lambda name: library)
    monkeypatch.setattr(allocator.sys, 'platform', 'linux')
    assert allocator.keep_freed_memory.__wrapped__() is not chosen
    assert called == ([] if chosen else [(-3, 32 << 20), (-1, 1 << 30)])


def test_other_c_libraries_have_no_such_setting(monkeypatch):
    monkeypatch.setattr(allocator.os, 'environ', {})
    monkeypatch.setattr(allocator.ctypes, 'CDLL', lambda name: object())
    assert allocator.keep_freed_memory.__wrapped__() is False
    assert allocator.free_memory() > 0
