"""Memory of this machine: how much is free, and what the C library does with what is freed."""
from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from functools import cache

#: Names of mallopt's settings in GNU's ``malloc.h``, and the largest block that may stay in a heap.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 32 << 20


def free_memory() -> int:
    """Bytes of memory that nothing uses; 1 GiB where the system does not tell."""
    try:
        return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, ValueError, OSError):
        return 1 << 30


@cache
def keep_freed_memory() -> bool:
    """Lets all threads use freed memory again, rather than give it back to the system each time.

    GNU's malloc gives large blocks back to the system, and most of what threads other than the main
    one free; they are asked for anew, a page at a time: some hundredths of the time of a prediction
    or a training step, a tenth in the labelling of small images. From this call on, and for the
    whole process, blocks up to 32 MiB stay; larger ones still go back. The peak of the memory does
    not grow, what is held after it does.

    Returns:
        Whether it was set; elsewhere than on Linux with GNU's C library, and where the environment
        has settings of the user's own, nothing changes.
    """
    if not sys.platform.startswith('linux') or _chosen(os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:  # another C library
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, 1 << 30))


def _chosen(environment: Mapping[str, str]) -> bool:
    """Whether the user has settings of malloc."""
    return 'malloc' in environment.get('GLIBC_TUNABLES', '') or any(
        f'MALLOC_{name}_' in environment for name in ('MMAP_THRESHOLD', 'TRIM_THRESHOLD', 'TOP_PAD')
    )
