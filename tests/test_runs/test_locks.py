"""Locks: one process and one thread at a time, on every system, and none after a kill."""
from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from glipkit.common.reporter import reporting
from glipkit.errors import UserError
from glipkit.runs import locks
from glipkit.runs.locks import locked
from tests.recorder import Recorder

FORK = multiprocessing.get_context('fork')


def _append(path):
    with locked(path):
        text = path.with_suffix('.txt').read_text()
        time.sleep(.01)
        path.with_suffix('.txt').write_text(text + 'x')


def test_processes_wait_for_each_other(tmp_path):
    path = tmp_path / 'a.lock'
    (tmp_path / 'a.txt').write_text('')
    processes = [FORK.Process(target=_append, args=(path, )) for _ in range(4)]
    with locked(path) as held:
        assert held
        for process in processes:
            process.start()
        processes[0].join(.3)
        assert (tmp_path / 'a.txt').read_text() == ''
    for process in processes:
        process.join(20)
    assert (tmp_path / 'a.txt').read_text() == 'xxxx'
    assert not path.exists()


def test_threads_wait_for_each_other(tmp_path):
    path = tmp_path / 'a.lock'
    (tmp_path / 'a.txt').write_text('')
    threads = [threading.Thread(target=_append, args=(path, )) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (tmp_path / 'a.txt').read_text() == 'x' * 8


def _hold(path, taken):
    with locked(path):
        taken.set()
        time.sleep(60)


def test_who_does_not_wait_is_told_and_a_kill_frees_the_lock(tmp_path):
    path, taken = tmp_path / 'run' / '.lock', FORK.Event()
    process = FORK.Process(target=_hold, args=(path, taken))
    process.start()
    assert taken.wait(20)
    with pytest.raises(UserError, match='no other process.*run'), locked(path, wait=False):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join(20)
    assert path.exists()  # it could not tidy up; the file alone locks nothing
    with locked(path, wait=False) as held:
        assert held
        with pytest.raises(UserError, match='no other process'), locked(path, wait=False):
            pass
    with locked(path, wait=False) as held:
        assert held


def test_a_block_that_fails_gives_the_lock_back(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / 'a'):
        raise ZeroDivisionError
    with locked(tmp_path / 'a', wait=False) as held:
        assert held


class FakeMsvcrt:
    """Windows' locks, as far as we use them: of one byte at the place of the open file."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self, busy: int = 0) -> None:
        self.busy, self.calls, self.locked = busy, [], set()

    def locking(self, handle, mode, count):
        place = os.lseek(handle, 0, os.SEEK_CUR)
        self.calls.append((mode, place, count))
        if mode == self.LK_UNLCK:
            self.locked.remove(place)
        elif self.busy:
            self.busy -= 1
            raise OSError(errno.EACCES, 'Permission denied')
        else:
            self.locked.add(place)


@pytest.fixture
def windows(monkeypatch):
    def build(busy=0):
        fake = FakeMsvcrt(busy)
        monkeypatch.setattr(locks, 'fcntl', None)
        monkeypatch.setattr(locks, 'msvcrt', fake, raising=False)
        monkeypatch.setattr(locks, 'PAUSE', 0.)
        return fake

    return build


def test_windows_locks_the_first_byte_and_tries_again(tmp_path, windows):
    fake = windows(busy=2)
    with locked(tmp_path / 'a') as held:
        assert held and fake.locked == {0}
    assert fake.calls == [(2, 0, 1)] * 3 + [(0, 0, 1)] and not fake.locked
    assert not (tmp_path / 'a').exists()


def test_windows_tells_who_does_not_wait(tmp_path, windows):
    windows(busy=1)
    with pytest.raises(UserError, match='no other process'), locked(tmp_path / 'a', wait=False):
        pass


def test_a_file_system_without_locks_is_told_and_no_obstacle(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(locks, 'fcntl', SimpleNamespace(lockf=refuse, LOCK_EX=2, LOCK_NB=4))
    with reporting(Recorder()) as heard, locked(tmp_path / 'a') as held:
        assert not held
    assert len(heard.notes) == 1 and 'no locks' in heard.notes[0]
