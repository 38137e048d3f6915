"""Other work on the same processors: a process that is busy when it is told to be."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Ends with the process that started it, also where that one is killed.
_LOOP = '''
import os, sys
parent = os.getppid()
print(flush=True)
while os.getppid() == parent:
    for _ in range(10):
        work()
'''
#: Kind -> program that defines its work, of some milliseconds. It gets its number of threads.
KINDS = {
    'spin': '''
def work():
    for _ in range(100_000):
        pass
''',
    'torch': '''
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
a, b = torch.randn(2, 512, 512)
def work():
    a @ b
work()
''',
}


class Neighbour:
    """A busy process that sleeps but inside of `busy`. A context manager: it ends with the block.

    Args:
        kind: ``'spin'``, one thread in a loop; ``'torch'``, matrix products on several, whose
            threads wait as PyTorch's do.
        threads: Of PyTorch.
    """

    def __init__(self, kind: str, threads: int) -> None:
        waits = ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY', 'OMP_NUM_THREADS')
        environment = {name: value for name, value in os.environ.items() if name not in waits}
        self._process = subprocess.Popen(
            [sys.executable, '-c', KINDS[kind] + _LOOP, str(threads)],
            stdout=subprocess.PIPE, env=environment)

    def __enter__(self) -> Neighbour:
        self._process.stdout.readline()
        self._process.send_signal(signal.SIGSTOP)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # a stopped process too
        self._process.communicate()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Inside the block it works."""
        self._process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGSTOP)
