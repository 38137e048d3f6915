"""Whether the tracks of a video are right, how fast it goes, and what memory it takes."""
from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import checkpoint_for
from glipkit.apis.detections import Detections
from glipkit.apis.predictor import Predictor
from glipkit.apis.video.writing import VideoFile
from glipkit.common.boxes import box_iou
from glipkit.common.reporter import track
from glipkit.errors import UserError
from glipkit.worlds.patches import Box
from glipkit.worlds.scenes import moving_scene

SUMMARY = 'whether tracks are right, and memory over a long video'
EXAMPLES = '''examples:
  glipkit bench video
  glipkit bench video --frames 1000 --every 1 5 --out bench
'''
MODEL = 'glip-mini'
#: Two of one name: their tracks must stay apart.
NAMES = ('large red plain circle', 'large blue striped star', 'large red plain circle')
WIDTH, HEIGHT, FPS = 320, 240, 25
#: Share of the video after which memory has found its size.
WARM = .2
NOTES = (
    'Found: boxes with the right name and an IoU of at least 0.5, of the things in the frames '
    'asked. Tracks: different numbers that things had; changes: frames in which a thing had '
    'another number than before.',
    'Memory: growth of the process from a fifth of the video to its end.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--frames', type=int, default=1000, metavar='N',
                        help='(default: %(default)s)')
    parser.add_argument('--every', type=int, nargs='+', default=[1, 5], metavar='N',
                        help='asks every Nth frame (default: 1 5)')
    parser.add_argument('--speed', type=float, default=2., metavar='PIXELS',
                        help='of the fastest thing, per frame (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    parser.add_argument('--device', default='cpu', help='(default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draws a video, and watches it.

    Args:
        args: Arguments of `add_arguments`.

    Returns:
        ``setting``, ``notes`` and ``rows``, one per number of ``--every``.

    Raises:
        UserError: Impossible numbers.
    """
    if args.frames < 2 or args.seed < 0 or min(args.every) < 1:
        raise UserError('--frames from 2, --every from 1 and --seed from 0',
                        f'{args.frames}, {args.every}, {args.seed}', 'pass larger numbers')
    predictor = Predictor(MODEL, checkpoint_for(MODEL), args.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'moving.mp4')
        truth = draw_video(path, args.frames, args.seed, args.speed)
        rows = [_row(predictor, path, truth, every) for every in args.every]
    return {'setting': {'config': MODEL, 'frames': args.frames, 'size': f'{WIDTH}x{HEIGHT}',
                        'things': len(NAMES), 'speed': args.speed},
            'rows': rows, 'notes': [*NOTES]}


def draw_video(path: Path, frames: int, seed: int, speed: float = 2.,
               names: Sequence[str] = NAMES) -> list[list[Box]]:
    """Writes a video of moving shapes; returns the boxes of each frame, in the order of names."""
    scene = moving_scene(names, WIDTH, HEIGHT, np.random.default_rng(seed), speed)
    truth = []
    with VideoFile(path, FPS) as video:
        for i, (picture, boxes) in enumerate(track(scene.frames(frames), 'drawing', frames,
                                                   'frame')):
            video.add(picture, i / FPS)
            truth.append(boxes)
    return truth


def _row(predictor: Predictor, path: Path, truth: Sequence[Sequence[Box]], every: int
         ) -> dict[str, Any]:
    judge = Judge(NAMES)
    watched = predictor.video(path, dict.fromkeys(NAMES), every=every, track=True)
    asked, warm, begin = len(truth[::every]), None, time.perf_counter()
    for frame, found in track(watched, f'watching every {every}', asked, 'frame'):
        judge.add(truth[frame.index], found)
        if warm is None and frame.index >= WARM * len(truth):
            warm = memory()
    seconds = time.perf_counter() - begin
    growth = None if warm is None or memory() is None else round(memory() - warm, 1)
    return {'every': every, 'frames asked': judge.frames, **judge.row(),
            'ms per frame asked': round(1000 * seconds / judge.frames, 1),
            'memory, MiB more': growth if growth is not None else ''}


class Judge:
    """Compares detections with known tracks.

    Args:
        names: Name of each thing.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._numbers: dict[int, list[int]] = defaultdict(list)
        self.frames = self.found = self.extra = 0

    def add(self, truth: Sequence[Box], found: Detections) -> None:
        """One more frame.

        Args:
            truth: Box of each thing.
            found: Detections with tracks.
        """
        self.frames += 1
        overlaps = box_iou(np.array(truth), found.boxes)
        same = np.array(self._names, dtype=str)[:, None] == np.array(found.names, dtype=str)
        overlaps = np.where(same, overlaps, 0)
        used = set()
        for i, row in enumerate(overlaps):
            best = int(row.argmax()) if len(row) else -1
            if best < 0 or row[best] < .5:
                continue
            used.add(best)
            self.found += 1
            if found.tracks is not None and found.tracks[best] > 0:
                self._numbers[i].append(int(found.tracks[best]))
        self.extra += len(found) - len(used)

    def row(self) -> dict[str, Any]:
        """The counts."""
        numbers = self._numbers.values()
        changes = sum(a != b for one in numbers for a, b in zip(one, one[1:]))
        return {'found': f'{self.found} of {self.frames * len(self._names)}',
                'boxes too many': self.extra,
                'tracks': len({number for one in numbers for number in one}), 'changes': changes}


def memory() -> float | None:
    """What this process holds now, in MiB; None on systems that do not say."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20
