"""Jobs that tests run in processes of their own."""
from __future__ import annotations

import os
from collections.abc import Callable

from glipkit.errors import UserError

MEBIBYTE = 2**20


def troubled(grow: int) -> Callable[[], None]:
    """Takes ``grow`` MiB for a moment; then fails in three ways, one after the other."""
    calls = []

    def job() -> None:
        calls.append(1)
        job.details = {'calls': len(calls)}
        print('what libraries say in between')
        if len(calls) == 1:
            bytearray(os.urandom(MEBIBYTE) * grow)
        elif len(calls) == 2:
            raise UserError('a job that works', 'the second call', 'stop calling')
        elif len(calls) == 3:
            raise ZeroDivisionError
        else:
            os.write(2, b'the last words\n')
            os._exit(3)

    return job
