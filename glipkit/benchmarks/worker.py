"""A job in a separate process, which works when asked and sleeps otherwise.

Both ends are here. They speak JSON, one line per message: the child takes orders on its standard
input and answers on what was its standard output; whatever libraries print there goes to stderr.
"""
from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from glipkit.errors import UserError

CLOSING_SECONDS = 10


def thread_settings(threads: int) -> dict[str, str]:
    """Environment of a process with so many threads: read when libraries are loaded, so that it
    is too late in the process itself."""
    return {'OMP_NUM_THREADS': str(threads), 'MKL_NUM_THREADS': str(threads)}


@dataclass(frozen=True)
class WorkerCall:
    """A function to call in a separate process, and its arguments.

    Attributes:
        target: ``'package.module:function'``. The function is called once, with ``arguments``,
            and returns the function to time (no arguments). If that one has an attribute
            ``details`` (a dict that JSON can hold), it is read after the last round.
        arguments: Keyword arguments that JSON can hold.
        python: The interpreter.
        environment: Variables on top of this process's; None takes one away.
    """
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    environment: Mapping[str, str | None] = field(default_factory=dict)


class Worker:
    """The parent's end of a job. A context manager: the process ends with the block.

    Raises:
        UserError: An error of the job while it is made or called.
        RuntimeError: When the job fails otherwise; its output is part of the message.
    """

    def __init__(self, name: str, call: WorkerCall) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile(  # noqa: SIM115 close() closes it
            'w+', encoding='utf-8', errors='replace')
        self._process = subprocess.Popen(
            [call.python, '-m', 'glipkit.benchmarks.worker'], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, text=True, encoding='utf-8',
            env={name: value for name, value in {**os.environ, **call.environment}.items()
                 if value is not None})
        try:
            made = self._ask({'target': call.target, 'arguments': dict(call.arguments)})
        except BaseException:
            self.close()
            raise
        self.idle_bytes: int = made['idle_bytes']

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self) -> float:
        """Runs the job once; returns its seconds, by the child's clock."""
        return self._ask({'do': 'call'})['seconds']

    @property
    def peak_bytes(self) -> int:
        """Most memory since the job was made."""
        return self._ask({'do': 'report'})['peak_bytes']

    @property
    def details(self) -> dict[str, Any]:
        """Attribute ``details`` of the job."""
        return self._ask({'do': 'report'})['details']

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin and not self._process.stdin.closed:
            with suppress(BrokenPipeError):  # it has left already
                self._process.stdin.close()  # the end of its input is the order to leave
        try:
            self._process.wait(CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        try:
            print(json.dumps(order), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ''
        if not line:
            code = self._process.wait()
            raise RuntimeError(f'{self.name} ended with code {code}\n{self._output()}')
        answer = json.loads(line)
        if 'user_error' in answer:
            raise UserError(*answer['user_error'])
        if 'error' in answer:
            raise RuntimeError(f'{self.name} failed\n{answer["error"]}')
        return answer

    def _output(self, lines: int = 20) -> str:
        self._log.seek(0)
        return ''.join(self._log.readlines()[-lines:])


# -- the child's end ------------------------------------------------------------------------------


def serve(orders: TextIO, answers: TextIO) -> None:
    """Makes the job of the first order, then obeys until the input ends."""
    job: Callable[[], Any] | None = None
    for line in orders:
        try:
            order = json.loads(line)
            if job is None:
                job = make(order['target'], order['arguments'])
                reset_peak()
                answer = {'idle_bytes': resident_bytes()}
            elif order['do'] == 'call':
                begin = time.perf_counter()
                job()
                answer = {'seconds': time.perf_counter() - begin}
            else:
                answer = {'peak_bytes': peak_bytes(), 'details': getattr(job, 'details', {})}
        except UserError as error:
            answer = {'user_error': [error.expected, error.got, error.fix]}
        except Exception:  # whatever it is, the parent is to hear of it
            answer = {'error': traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


def make(target: str, arguments: Mapping[str, Any]) -> Callable[[], Any]:
    """The function to time that ``target`` makes of its arguments."""
    module, _, function = target.partition(':')
    return getattr(importlib.import_module(module), function)(**arguments)


def reset_peak() -> None:
    """Forgets what loading took, where the system can (Linux; torch's own count of a GPU)."""
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()
    with suppress(OSError, AttributeError, TypeError):  # glibc alone keeps what was freed
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # the peak then includes loading
        Path('/proc/self/clear_refs').write_text('5')


def resident_bytes() -> int:
    """Memory of this process now (allocated on the GPU, once torch uses one)."""
    cuda = _cuda()
    return cuda.memory_allocated() if cuda is not None else _status('VmRSS')


def peak_bytes() -> int:
    """Most memory of this process since :func:`reset_peak`."""
    cuda = _cuda()
    return cuda.max_memory_allocated() if cuda is not None else _status('VmHWM')


def _status(field_name: str) -> int:
    """A memory figure of Linux's own in bytes, elsewhere the greatest resident size."""
    try:
        for line in Path('/proc/self/status').read_text().splitlines():
            if line.startswith(f'{field_name}:'):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def _cuda() -> Any:
    """torch.cuda if this process works on a GPU."""
    torch = sys.modules.get('torch')
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def main() -> None:
    """Runs the child's end on this process's own input and output."""
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == '__main__':
    main()
