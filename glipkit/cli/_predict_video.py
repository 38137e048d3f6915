"""The videos of ``glipkit predict``."""
from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glipkit.apis.predictor import Predictor
    from glipkit.apis.video.recording import Recording
    from glipkit.errors import UserError

#: ``--save-video`` without a name.
UNNAMED = ''


@dataclass(frozen=True)
class Plan:
    """A video, and the files of its rows and of the drawn video; None for none."""

    source: str
    rows: Path | None
    video: Path | None


def add_video_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers the options that are for videos alone."""
    group = parser.add_argument_group('videos, streams and cameras')
    group.add_argument('--save-video', nargs='?', const=UNNAMED, metavar='FILE.mp4',
                       help='save the video with its boxes; without a name as NAME.found.mp4 in '
                            '--out')
    group.add_argument('--every', type=int, default=1, metavar='N',
                       help='ask every Nth frame; those between are drawn with the last boxes '
                            '(default: %(default)s)')
    group.add_argument('--track', action='store_true',
                       help='give things numbers that they keep from frame to frame')


def plan_videos(args: argparse.Namespace) -> tuple[list[str], list[Plan]]:
    """Words that name images, and what is to be done with the videos.

    Raises:
        UserError: Options that do not fit, a file that is not there, or a place that cannot be
            written to.
    """
    from glipkit.apis.video.sources import is_live, split_videos, unnamed_videos
    from glipkit.apis.video.tracks import check_tracker
    from glipkit.apis.video.watching import check_every
    from glipkit.errors import UserError
    images, videos = split_videos(args.images)
    more = unnamed_videos(images)
    if more and not args.segment:
        print(f'glipkit predict: {more} videos in folders are left out; name them, or write e.g. '
              '"clips/*.mp4"', file=sys.stderr)
    _check_options(args, images, videos)
    check_every(args.every)
    if args.track:
        check_tracker()
    for one in videos:
        if not is_live(one) and not Path(one).is_file():
            raise UserError('a video file', f'no such file at {one}', 'check the path')
    return images, _places(args, images, videos)


def _check_options(args: argparse.Namespace, images: list[str], videos: list[str]) -> None:
    from glipkit.errors import UserError
    given = [name for name, is_given in (
        ('--save-video', args.save_video is not None), ('--track', args.track),
        ('--every', args.every != 1)) if is_given]
    if given and not videos:
        raise UserError(f'a video for {", ".join(given)}', 'images alone', 'leave it out')
    if args.segment and videos:
        raise UserError('images for --segment', videos[0], 'leave videos out')
    given = [name for name, is_given in (
        ('--save-images', args.save_images), ('--csv', args.csv), ('--json', args.json),
        ('--save', args.save)) if is_given]
    if given and not images:
        raise UserError(f'an image for {", ".join(given)}', 'videos alone',
                        'save the rows of a video with --out, and pictures with --save-video')


def _places(args: argparse.Namespace, images: list[str], videos: list[str]) -> list[Plan]:
    """The files of each video."""
    from glipkit.apis.video.sources import result_names
    from glipkit.apis.video.writing import check_video_name
    from glipkit.errors import UserError
    from glipkit.files import check_file
    alone = len(videos) == 1
    if args.save_video and not alone:
        raise UserError('--save-video without a name for several videos', args.save_video,
                        'pass --out DIR for its files')
    out = Path(args.out) if args.out else None
    is_file = out is not None and out.suffix == '.jsonl' and not out.is_dir()
    if is_file and (images or not alone):
        raise UserError('a folder for --out where there is more than one video', str(out),
                        'change the name')
    if out is not None and not is_file and out.exists() and not out.is_dir():
        raise UserError('a folder for --out, or a file that ends in .jsonl', f'the file {out}',
                        'pass another name')
    plans = []
    for source, name in zip(videos, result_names(videos)):
        folder = out.parent if is_file else out or Path('predictions')
        rows = out if is_file else None if out is None else folder / f'{name}.jsonl'
        drawn = None if args.save_video is None else \
            Path(args.save_video or folder / f'{name}.found.mp4')
        if rows is not None:
            check_file(rows)
        if drawn is not None:
            if drawn.exists() and Path(source).exists() and drawn.samefile(source):
                raise UserError('another name for --save-video', f'the video itself, {drawn}',
                                'change it')
            check_video_name(drawn)
        plans.append(Plan(source, rows, drawn))
    return plans


def watch_videos(args: argparse.Namespace, predictor: Predictor, plans: list[Plan],
                 asked: dict[str, Any], checkpoint: str | Path) -> int:
    """Watches videos one after the other; returns the exit code."""
    from glipkit.apis.video.reading import UnreadableVideo
    from glipkit.apis.video.recording import record
    from glipkit.apis.video.sources import identity_of
    question = predictor.question(**asked)
    words = dict(classes=question.query.classes, parts=question.query.parts)
    settings = {**asked, **words, 'checkpoint': checkpoint, **{
        name: getattr(args, name) for name in ('config', 'task', 'threshold', 'all_labels', 'dtype',
                                               'every', 'track')}}
    bad: list[UserError] = []
    faulty = False
    for plan in plans:
        try:
            done = record(predictor, plan.source, question, every=args.every, track=args.track,
                          rows=plan.rows, video=plan.video,
                          identity=identity_of(plan.source, settings))
        except UnreadableVideo as error:
            if args.strict or len(args.images) == 1 and len(plans) == 1:
                raise
            bad.append(error)
            print(f'glipkit predict: left out {error.got}', file=sys.stderr)
            continue
        _report(done, plan)
        faulty = faulty or bool(done.problems)
        if done.interrupted and not done.live:
            args.resumes = plan.rows is not None
            raise KeyboardInterrupt
    return 1 if bad or faulty else 0


def _report(done: Recording, plan: Plan) -> None:
    for problem in done.problems:
        print(f'glipkit predict: {problem}', file=sys.stderr)
    counts = ', '.join(f'{count} x {name}' for name, count in done.counts.most_common(10))
    frames = f'{done.asked} of {done.frames} frames' if done.asked != done.frames \
        else f'{done.frames} frames'
    print(f'{sum(done.counts.values())} found in {frames} of {done.name}'
          + (f': {counts}' if counts else ''))
    if done.tracks:
        tracks = ', '.join(f'{count} x {name}' for name, count in done.tracks.most_common(10))
        print(f'{sum(done.tracks.values())} tracks: {tracks}')
    if done.missed:
        print(f'{done.missed} frames came while the model was at work, and were left out')
    if done.resumed:
        print(f'{done.resumed} frames had been answered by an earlier start')
    for place in (plan.rows, plan.video):
        if place is not None:
            print(f'saved to {place}')
