"""What another busy process costs: a prediction or a training step alone, and beside one.

Threads of PyTorch that wait for each other stay awake for a while. Where another process has one of
the processors, that time is taken from the thread that they wait for. Candidates are the same work
with threads that wait as `glipkit.common.waiting` has them do, always long, and not at all.
"""
from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from typing import Any

from glipkit.benchmarks.harness import Timing, check, load_workers, ratio, ratio_range, turns
from glipkit.benchmarks.models import workload
from glipkit.benchmarks.neighbours import KINDS, Neighbour
from glipkit.benchmarks.worker import WorkerCall, thread_settings
from glipkit.benchmarks.workload import DTYPES, Workload, read_classes
from glipkit.common.reporter import bar
from glipkit.common.waiting import SPINS

SUMMARY = 'time a step alone and beside another busy process'
EXAMPLES = '''examples:
  glipkit bench beside
  glipkit bench beside --task predict --neighbour torch --rounds 5
'''
#: Task -> its image and batch unless the command line has others.
TASKS = {'train-step': ('512x640', 2), 'predict': ('800x1216', 1)}
#: Candidate -> rounds that a waiting thread stays awake; None leaves it to glipkit.
WAITS = {'glipkit': str(SPINS), 'glipkit, PyTorch imported first': None,
         'as PyTorch comes': '300000', 'never awake': '0'}
ALONE, BESIDE = 'alone', 'beside'
#: Seconds until what watches the machine has seen who works there.
SETTLE = 1
NOTES = (
    "GOMP_SPINCOUNT: rounds that a waiting thread of GNU's OpenMP stays awake. "
    'Commands of glipkit set it. In both of its candidates glipkit shortens the waits while other '
    'work wants the processors.',
    'In every round each candidate is called once alone and once while the neighbour works, one '
    'second after the state has changed; ratios are of medians.',
    'A neighbour that spins keeps one processor busy; one of PyTorch asks for all. With two '
    'threads on two processors, 1.5 to 2 is what can be expected beside the first one.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--task', choices=list(TASKS), default='train-step',
                        help='what is timed (default: %(default)s)')
    parser.add_argument('--neighbour', choices=list(KINDS), default='spin',
                        help='the other process: one thread in a loop, or matrix products of '
                             'PyTorch on as many threads (default: %(default)s)')
    parser.add_argument('--config', default='glip-t-c',
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--image', metavar='HxW',
                        help='height and width in pixels, multiples of 32 (default: 512x640 of a '
                             'training step, 800x1216 of a prediction)')
    parser.add_argument('--batch', type=int,
                        help='images in one call (default: 2 of a training step, 1 of a '
                             'prediction)')
    parser.add_argument('--dtype', choices=list(DTYPES), default='float32',
                        help='bf16 is autocast to bfloat16 (default: %(default)s)')
    parser.add_argument('--threads', type=int, help='of torch (default: what torch would take)')
    parser.add_argument('--rounds', type=int, default=3,
                        help='timed calls of each, alone and beside (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1,
                        help='calls before that (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of weights and images (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    work = _work(args)
    check(WAITS, args.rounds, args.warmup)
    load = round(os.getloadavg()[0], 2)
    job = f'glipkit.benchmarks.tasks:{args.task.replace("-", "_")}'
    common = {**thread_settings(work.threads), 'HF_HUB_OFFLINE': '1', 'OMP_WAIT_POLICY': None}
    calls = {name: WorkerCall(job, dict(peer='own', workload=work.as_dict()),
                              environment={**common, 'GOMP_SPINCOUNT': spins})
             for name, spins in WAITS.items()}
    with Neighbour(args.neighbour, work.threads) as neighbour:
        timings = measure(calls, neighbour, args.rounds, args.warmup)
    first = next(iter(timings.values()))
    return {'setting': {'config': args.config, 'task': args.task, 'neighbour': args.neighbour,
                        'image': '{}x{}'.format(*work.image), 'batch': work.batch,
                        'dtype': work.dtype, 'threads': work.threads, 'rounds': args.rounds,
                        'warm-up': args.warmup, 'load before': load},
            'rows': [_row(name, WAITS[name], times, first) for name, times in timings.items()],
            'notes': [*NOTES],
            'measured': {name: {state: timing.as_dict() for state, timing in times.items()}
                         for name, times in timings.items()}}


def measure(calls: Mapping[str, WorkerCall], neighbour: Neighbour, rounds: int,
            warmup: int) -> dict[str, dict[str, Timing]]:
    """Times jobs in turns, alone and while a neighbour works.

    Args:
        calls: Candidate -> call for its process, which sleeps while another one runs.
        neighbour: The other process.
        rounds: Timed calls of each, in either state; every second round is in reverse order.
        warmup: Calls of each before that, alone.

    Returns:
        Candidate -> state -> its seconds.
    """
    seconds: dict[str, dict[str, list[float]]] = {
        name: {ALONE: [], BESIDE: []} for name in calls}
    with ExitStack() as stack, \
            bar('timing', len(calls) * (1 + warmup + 2 * rounds), 'call') as shown:
        workers = load_workers(calls, warmup, stack, shown)
        for name, state in turns([(name, state) for name in calls for state in (ALONE, BESIDE)],
                                 rounds):
            shown.show(candidate=name, now=state)
            with neighbour.busy() if state == BESIDE else nullcontext():
                time.sleep(SETTLE)
                seconds[name][state].append(workers[name].call())
            shown.update()
    return {name: {state: Timing(values) for state, values in states.items()}
            for name, states in seconds.items()}


def _work(args: argparse.Namespace) -> Workload:
    image, batch = TASKS[args.task]
    settings = argparse.Namespace(**{**vars(args), 'image': args.image or image,
                                     'batch': batch if args.batch is None else args.batch,
                                     'device': 'cpu', 'compile': False, 'count': False})
    classes = read_classes('coco80', None) if args.task == 'predict' else ()
    return workload(settings, classes)


def _row(name: str, spins: str | None, times: Mapping[str, Timing],
         first: Mapping[str, Timing]) -> dict[str, Any]:
    alone, beside = times[ALONE], times[BESIDE]
    low, high = ratio_range(beside, alone)
    return {'candidate': name, 'GOMP_SPINCOUNT': spins or '', 'alone s': round(alone.median, 3),
            'IQR alone s': round(alone.iqr, 3), 'beside s': round(beside.median, 3),
            'IQR beside s': round(beside.iqr, 3), 'beside / alone': round(ratio(beside, alone), 2),
            'range over rounds': f'{low:.2f}-{high:.2f}',
            f'alone / {next(iter(WAITS))}': round(ratio(alone, first[ALONE]), 2)}
