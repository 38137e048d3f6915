"""The processes of a tuning run that torchrun has started, one per device."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmengine.dist import is_main_process

from glipkit.apis.build import check_device
from glipkit.common.reporter import Reporter, reporting


def start_processes(device: str) -> None:
    """Joins the processes that torchrun started, if it did; each on its own GPU."""
    cuda = device.startswith('cuda')
    if cuda:  # mmengine trains on the current one
        torch.cuda.set_device(check_device(own_device(device)))
    if 'WORLD_SIZE' in os.environ and not torch.distributed.is_initialized():
        torch.distributed.init_process_group('nccl' if cuda else 'gloo')


def own_device(device: str) -> str:
    """The device of this process: with several processes each has its own GPU."""
    return f'cuda:{os.environ.get("LOCAL_RANK", 0)}' if device == 'cuda' else device


@contextmanager
def silent_but_first() -> Iterator[None]:
    """Inside the block only the first process uses the current reporter."""
    with nullcontext() if is_main_process() else reporting(Reporter()):
        yield
