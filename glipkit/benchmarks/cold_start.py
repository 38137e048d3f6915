"""How long glipkit takes from nothing: whole processes, from their start to their end."""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glipkit.benchmarks.harness import alternate
from glipkit.errors import UserError

SUMMARY = 'time whole processes: help, import, first prediction'
EXAMPLES = '''examples:
  glipkit bench cold-start
  glipkit bench cold-start --rounds 9 --out bench
'''
NOTES = (
    'Whole processes, from their start to their end. Files of Python are compiled and in the '
    "system's cache: warm-up has read them.",
    'CPU s is the time of the process on all threads, which other work on the machine changes '
    'little.')
#: Runs `glipkit` as its command does.
COMMAND = ('-m', 'glipkit')
FIRST = '''
import numpy as np
from glipkit import Predictor
Predictor('glip-mini')(np.zeros((320, 512, 3), np.uint8), classes=['red circle', 'dog'])
'''


@dataclass
class Process:
    """A program to run from its start to its end, and what each run took.

    Attributes:
        words: Arguments of Python.
        folder: Where it runs.
        environment: All of its variables.
        cpu_seconds: Of each run.
    """
    words: Sequence[str]
    folder: Path
    environment: dict[str, str]
    cpu_seconds: list[float] = field(default_factory=list)

    def __call__(self) -> None:
        """Runs it.

        Raises:
            UserError: It failed.
        """
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen([sys.executable, *self.words], cwd=self.folder,
                                       env=self.environment, stdout=said, stderr=said)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                raise UserError('a program that ends well',
                                f'{" ".join(self.words)}: '
                                f'{said.read()[-500:].decode(errors="replace")}',
                                'look at what it says')
        self.cpu_seconds.append(used.ru_utime + used.ru_stime)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--rounds', type=int, default=5,
                        help='timed runs of each (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1,
                        help='runs before that; the first one compiles (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    load = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory() as name:
        processes = programs(Path(name))
        calls: dict[str, Callable[[], None]] = {**processes}
        timings = alternate(calls, args.rounds, args.warmup)
    rows = [{'program': name, 'median s': round(timing.median, 3), 'IQR s': round(timing.iqr, 3),
             'CPU s': round(float(np.median(processes[name].cpu_seconds[-args.rounds:])), 3)}
            for name, timing in timings.items()]
    return {'setting': {'rounds': args.rounds, 'warm-up': args.warmup, 'load before': load},
            'rows': rows, 'notes': [*NOTES],
            'measured': {name: timing.as_dict() for name, timing in timings.items()}}


def programs(folder: Path) -> dict[str, Process]:
    """Name -> program.

    Args:
        folder: Where they run, and keep compiled files.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (320, 512, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / 'picture.png')
    own = str(Path(__file__).parents[2])
    path = os.pathsep.join([own, *filter(None, [os.environ.get('PYTHONPATH')])])
    environment = {**os.environ, 'PYTHONPATH': path, 'HF_HUB_OFFLINE': '1',
                   'PYTHONPYCACHEPREFIX': str(folder / 'compiled')}
    environment.pop('PYTHONDONTWRITEBYTECODE', None)
    lines = {
        'glipkit --help': (*COMMAND, '--help'),
        'import glipkit': ('-c', 'import glipkit'),
        'first prediction, Predictor': ('-c', FIRST),
        'glipkit predict': (*COMMAND, 'predict', 'picture.png', '--model', 'glip-mini',
                            '--classes', 'red circle, dog', '--out', 'found'),
        'import torch, for comparison': ('-c', 'import torch'),
    }
    return {name: Process(words, folder, dict(environment)) for name, words in lines.items()}
