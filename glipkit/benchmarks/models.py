"""What the benchmarks of whole models share: arguments, candidates, table rows."""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import torch

from glipkit.apis.build import check_device, find_config, model_name
from glipkit.benchmarks.harness import (
    GIB,
    Measured,
    alternate_processes,
    check,
    ratio,
    ratio_range,
)
from glipkit.benchmarks.peers import OURS, PEERS, Peer
from glipkit.benchmarks.peers.environment import default_folder, peer_python
from glipkit.benchmarks.worker import WorkerCall, thread_settings
from glipkit.benchmarks.workload import DTYPES, Workload, read_size
from glipkit.common.precision import slow_bfloat16_note
from glipkit.common.reporter import note
from glipkit.common.waiting import short_waits
from glipkit.errors import UserError

MATMUL = 'matrix products'


def add_model_arguments(parser: argparse.ArgumentParser, image: str, batch: int) -> None:
    """Arguments that predict and train-step have in common."""
    parser.add_argument('--config', default='glip-t-c',
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--peer', choices=[*PEERS, 'none'], default='none',
                        help='what to compare with (default: %(default)s)')
    parser.add_argument('--peer-env', type=Path, metavar='DIR',
                        help='folder of the environment of a peer that needs one (default: in the '
                             "user's cache); made when it is missing")
    parser.add_argument('--image', default=image, metavar='HxW',
                        help='height and width in pixels, multiples of 32 (default: %(default)s)')
    parser.add_argument('--batch', type=int, default=batch,
                        help='images in one call (default: %(default)s)')
    parser.add_argument('--dtype', choices=list(DTYPES), default='float32',
                        help='bf16 is autocast to bfloat16, fast on processors with AVX512-BF16 or '
                             'AMX and on GPUs (default: %(default)s)')
    parser.add_argument('--peer-dtype', choices=list(DTYPES),
                        help='of the peer, where it is to run in another one (default: --dtype)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')
    parser.add_argument('--compile', action='store_true',
                        help='torch.compile the parts of all candidates that can be')
    parser.add_argument('--threads', type=int, help='of torch (default: what torch would take)')
    parser.add_argument('--rounds', type=int, default=5,
                        help='timed calls of each candidate (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1,
                        help='calls before, beside the one that counts operations '
                             '(default: %(default)s)')
    parser.add_argument('--no-count', dest='count', action='store_false',
                        help='leave that one out, where a call takes minutes')
    parser.add_argument('--seed', type=int, default=0,
                        help='of weights and images (default: %(default)s)')


def workload(args: argparse.Namespace, classes: tuple[str, ...]) -> Workload:
    """The setting of a command line.

    Raises:
        UserError: For a value that cannot be used.
    """
    find_config(args.config)
    check_device(args.device)
    threads = torch.get_num_threads() if args.threads is None else args.threads
    for name, value in (('--batch', args.batch), ('--threads', threads)):
        if value < 1:
            raise UserError(f'{name} of at least 1', str(value), 'pass a larger number')
    return Workload(args.config, read_size(args.image), classes, args.batch, args.dtype,
                    args.device, args.compile, threads, args.seed, args.count)


def compare(task: str, work: Workload, args: argparse.Namespace) -> dict[str, Any]:
    """Times our model, the peer of the command line and this machine's matrix products in turns.

    Args:
        task: Function in :mod:`glipkit.benchmarks.tasks`.
        work: The setting.
        args: Arguments of :func:`add_model_arguments`.

    Returns:
        The dict that :mod:`glipkit.benchmarks` describes.
    """
    peers = [OURS] if args.peer == 'none' else [OURS, _peer(args)]
    titles = dict.fromkeys(peer.title for peer in peers)
    check(titles, args.rounds, args.warmup)  # before an environment is made
    precision = _precision_notes(work, args)
    for line in precision:
        note(line)  # now as well: the table may be hours away
    calls = {peer.title: _call(peer, task, work, args) for peer in peers}
    calls[MATMUL] = WorkerCall(
        'glipkit.benchmarks.flops:Matmul',
        {'dtype': work.dtype, 'device': work.device, 'threads': work.threads},
        environment=_environment(work))
    measured = alternate_processes(calls, args.rounds, args.warmup)
    reference = measured.pop(MATMUL)
    limit = reference.details['flops'] / reference.timing.median
    return {
        'rows': [row(name, one, limit, measured[OURS.title]) for name, one in measured.items()],
        'notes': [*precision, *(line for peer in peers for line in peer.notes),
                  *_remarks(measured)],
        'matmul_flops_per_second': limit,
        'measured': {name: one.as_dict() for name, one in measured.items()},
        'matmul': reference.as_dict(),
    }


def _precision_notes(work: Workload, args: argparse.Namespace) -> list[str]:
    """A line where somebody is to compute in bfloat16 on a processor that is slow at it."""
    for option, dtype in (('--dtype bf16', work.dtype), ('--peer-dtype bf16', args.peer_dtype)):
        if dtype == 'bf16' and (line := slow_bfloat16_note(option, work.device)):
            return [line]
    return []


def _peer(args: argparse.Namespace) -> Peer:
    peer, name = PEERS[args.peer], model_name(find_config(args.config))
    if peer.configs is not None and name not in peer.configs:
        raise UserError(f'one of {", ".join(peer.configs)} for --peer {args.peer}', name,
                        'pass another --config, or --peer none')
    return peer


def _call(peer: Peer, task: str, work: Workload, args: argparse.Namespace) -> WorkerCall:
    python = sys.executable
    if peer.transformers is not None:
        folder = args.peer_env or default_folder(args.peer)
        python = peer_python(folder.absolute(), peer.transformers)
    workload = work.as_dict()
    if peer is not OURS and args.peer_dtype:
        workload['dtype'] = args.peer_dtype
    arguments = {'peer': peer.module, 'workload': workload}
    if peer is OURS and getattr(args, 'save_memory', False):
        arguments['save_memory'] = True
    environment = _environment(work)
    if peer is OURS:  # as in a command
        environment |= short_waits()
    return WorkerCall(f'glipkit.benchmarks.tasks:{task}', arguments, python, environment)


def _environment(work: Workload) -> dict[str, str]:
    # Weights are random: nothing is to be fetched.
    return {**thread_settings(work.threads), 'HF_HUB_OFFLINE': '1'}


def row(name: str, one: Measured, limit: float, ours: Measured) -> dict[str, Any]:
    """A table row.

    Args:
        name: Name of the candidate.
        one: Measurements of the candidate.
        limit: Operations per second of large matrix products on this machine.
        ours: Measurements of our model, for the ratios.
    """
    low, high = ratio_range(one.timing, ours.timing)
    flops, fixed = one.details.get('flops'), one.details.get('fixed_bytes')
    counted = {} if flops is None else {
        'GFLOP': round(flops / 1e9, 1),
        'GFLOP/s': round(flops / one.timing.median / 1e9, 1),
        '% of limit': round(100 * flops / one.timing.median / limit, 1)}
    return {
        'candidate': name,
        'median s': round(one.timing.median, 4),
        'IQR s': round(one.timing.iqr, 4),
        'time / glipkit': round(ratio(one.timing, ours.timing), 2),
        'range over rounds': f'{low:.2f}-{high:.2f}',
        'peak GiB': round(one.peak_bytes / GIB, 2),
        'before GiB': round(one.idle_bytes / GIB, 2),
        **({} if fixed is None else {'fixed GiB': round(fixed / GIB, 2)}),
        **counted,
    }


def _remarks(measured: dict[str, Measured]) -> list[str]:
    """What the candidates found out about themselves, where a reader should know."""
    notes = []
    for name, one in measured.items():
        found = one.details.get('agreement')
        if found:
            as_is, *mended = found.values()
            notes.append(f'Logits of {name} and glipkit on a small image differ by at most '
                         f'{as_is:.2g}. With bilinear instead of nearest upsampling in the '
                         'former, as in the official code, logits, boxes and centerness differ by '
                         f'at most {max(mended):.2g}.')
        passes = one.details.get('passes of the whole model', 1)
        if passes > 1:
            notes.append(f'{name} runs whole {passes} times, once for each part of the class '
                         'list.')
    return notes


def settings(work: Workload, args: argparse.Namespace) -> dict[str, Any]:
    """What was run with what, for the head of a table."""
    height, width = work.image
    return {'config': work.config, 'peer': args.peer, 'batch': work.batch,
            'image': f'{height}x{width}', 'dtype': work.dtype,
            'peer dtype': args.peer_dtype or work.dtype, 'device': work.device,
            'compile': work.compile, 'threads': work.threads, 'rounds': args.rounds,
            'warm-up': args.warmup, 'load before': round(os.getloadavg()[0], 2)}
