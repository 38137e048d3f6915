"""Whether a device computes bfloat16 faster than float32; many processors are slower at it.

Without units for it (AVX512-BF16 or AMX on x86; no processor that has AVX2 alone) a product of
bfloat16 matrices takes up to seventy times as long as one of float32. No public function
of torch says which processors have such units, so a small product is timed.
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch

from glipkit.common.tf32 import tf32
from glipkit.errors import UserError

#: Side of the first product. It takes only 8 ms at half a GFLOP/s, and shows a slow processor.
_SMALL_SIDE = 128
_SMALL_SLOWDOWN = 4.
#: Side of the second product, large enough that the cost of a call does not hide the units.
_SIDE = 256
_REPEATS = 5
#: What a model may compute in: name -> type of its products; None computes in that of its weights.
#: On a GPU 'tf32' rounds the factors of float32 products, and no other does.
DTYPES = {'float32': None, 'tf32': None, 'bf16': torch.bfloat16, 'half': torch.float16}
#: What a processor cannot compute in, or not otherwise than in float32.
GPU_ONLY = ('tf32', 'half')


def check_dtype(dtype: str, device: torch.device | str = 'cpu') -> str:
    """A name in `DTYPES` that a device can compute in.

    Raises:
        UserError: Another name, or one that needs a GPU on a processor.
    """
    if dtype not in DTYPES:
        raise UserError(f'a dtype of {", ".join(DTYPES)}', repr(dtype), 'pass one of these')
    if dtype in GPU_ONLY and torch.device(device).type == 'cpu':
        raise UserError(f'a GPU for dtype {dtype}', 'a processor',
                        'pass bf16 or float32, or a device')
    return dtype


def computing_in(dtype: str, device: torch.device | str = 'cpu') -> AbstractContextManager:
    """Inside the block a model computes in a type of `DTYPES`; its weights stay what they are.

    For the arguments see :func:`check_dtype`. It holds for the thread that enters it; whether a GPU
    may use TF32 is a setting of the process, see :func:`.tf32.tf32`.
    """
    kind = torch.device(device).type
    if kind == 'cuda':
        return _on_gpu(dtype)
    return nullcontext() if DTYPES[dtype] is None else torch.autocast(kind, dtype=DTYPES[dtype])


@contextmanager
def _on_gpu(dtype: str) -> Iterator[None]:
    # What autocast leaves in float32 is left there for its bits.
    with tf32(dtype == 'tf32'), nullcontext() if DTYPES[dtype] is None \
            else torch.autocast('cuda', dtype=DTYPES[dtype]):
        yield


def bfloat16_pays(device: torch.device | str = 'cpu') -> bool:
    """Whether a matrix product in bfloat16 takes less time than the same one in float32.

    A processor is timed once in a process, which takes less than 0.1 s. Other devices are not
    timed; the answer for them is True.

    Args:
        device: Device on which torch computes.
    """
    return torch.device(device).type != 'cpu' or _slowdown() < 1


def require_bfloat16(setting: str, device: torch.device | str = 'cpu') -> None:
    """Refuses a setting that would make a run slower than float32.

    Args:
        setting: Setting that asks for bfloat16, as the user writes it, e.g. ``--amp``.
        device: Device on which torch computes.

    Raises:
        UserError: The processor does not gain from bfloat16.
    """
    if not bfloat16_pays(device):
        raise UserError(
            f'for {setting} a processor that computes bfloat16 faster than float32 (AVX512-BF16, '
            'AMX), or a GPU', f'one that takes {_slowdown():.1f} times as long',
            f'leave {setting} out: float32 is faster here')


def slow_bfloat16_note(setting: str, device: torch.device | str = 'cpu') -> str | None:
    """One line for a result that was measured with a slow bfloat16; None where it is fast.

    For the arguments see :func:`require_bfloat16`.
    """
    if bfloat16_pays(device):
        return None
    return (f'This processor has no fast bfloat16: a product takes {_slowdown():.1f} times as long '
            f'as in float32. For speed leave {setting} out.')


@cache
def _slowdown() -> float:
    """Time of a bfloat16 product on this processor over that of a float32 product.

    Uses one thread: several would wait for each other where other processes keep the cores busy.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        small = _ratio(_SMALL_SIDE)
        return small if small > _SMALL_SLOWDOWN else _ratio(_SIDE)
    finally:
        torch.set_num_threads(threads)


def _ratio(side: int) -> float:
    """The same ratio for matrices of one size.

    Takes the shortest times: other work on the machine can only make a time longer.
    """
    low, high = (torch.ones(side, side, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    seconds = [(_seconds(low), _seconds(high)) for _ in range(1 + _REPEATS)]
    low_best, high_best = (min(column) for column in zip(*seconds[1:]))  # the first chooses kernels
    return low_best / high_best


def _seconds(matrix: torch.Tensor) -> float:
    begin = time.perf_counter()
    torch.matmul(matrix, matrix)
    return time.perf_counter() - begin
