"""A video watched to its end, with its rows and the drawn video as files."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glipkit.apis.asking import Question
from glipkit.apis.detections import Detections
from glipkit.apis.video.live import frames_of
from glipkit.apis.video.reading import FrameSource, UnreadableVideo, VideoFrame, open_video
from glipkit.apis.video.rows import Rows, rounded
from glipkit.apis.video.tracks import Tracker
from glipkit.apis.video.watching import Ask, check_every, watch
from glipkit.apis.video.writing import VideoFile
from glipkit.common import reporter

if TYPE_CHECKING:
    from glipkit.apis.predictor import Predictor


@dataclass
class Recording:
    """What came of a video.

    Args:
        name: Of the video.
        frames: Frames that were read.
        asked: Frames that the model was asked about, or whose rows an earlier start has written.
        resumed: Those of an earlier start.
        counts: Name -> detections.
        tracks: Name -> things with a number; of a thing with several names the first.
        problems: What was wrong, a line each.
        missed: Frames of a live source that came while the model was at work.
        interrupted: Whether the user ended it.
        live: Whether it has no end of its own.
    """

    name: str
    frames: int = 0
    asked: int = 0
    resumed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    tracks: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    missed: int = 0
    interrupted: bool = False
    live: bool = False


def record(predictor: Predictor, source: str | Path | int, question: Question, *, every: int = 1,
           track: bool = False, rows: Path | None = None, video: Path | None = None,
           identity: Mapping[str, Any] | None = None) -> Recording:
    """Watches a video and writes what is found.

    Shows through the current reporter how many frames are done. An interruption ends it as the end
    of the video does: what was written so far is kept, and the video is playable.

    Args:
        predictor: Who answers.
        source: As in `Predictor.video`.
        question: From ``predictor.question``; its ``channel_order`` has to be ``'bgr'``.
        every: Asks every so many frames.
        track: Whether things get numbers.
        rows: File of the rows, see `rows`; None writes none.
        video: File of the drawn video, which has all frames; those between have the last
            detections. None writes none.
        identity: Everything that the rows depend on, to go on with those of a killed run; None
            begins anew.

    Raises:
        UserError: No video, or nothing can be written.
    """
    every = check_every(every)
    with ExitStack() as stack:
        opened = stack.enter_context(open_video(source))
        done = Recording(opened.name, live=opened.live)
        tracker = Tracker(opened.fps / every) if track else None
        files = _Files(stack, opened, question, rows, video, identity)
        frames = stack.enter_context(frames_of(opened))
        bar = stack.enter_context(reporter.bar(f'watching {opened.name}', opened.count, 'frame'))
        try:
            for frame, found, is_new in watch(frames, opened, files.asking(predictor, question),
                                              every, predictor.batch_size, tracker,
                                              video is not None):
                _count(done, found, is_new)
                files.add(frame, found, is_new)
                bar.update(frame.index + 1 - bar.done)
        except KeyboardInterrupt:
            done.interrupted = True
        done.frames = opened.read
        if not opened.read and not done.interrupted:
            raise UnreadableVideo('a video with a frame that can be read', f'{opened.name}, which '
                                  f'has none ({opened.damaged} damaged)',
                                  'replace it or leave it out')
        files.finish(done, tracker)
        done.problems, done.missed = opened.problems(), getattr(frames, 'missed', 0)
    return done


class _Files:
    """Rows and video of one recording, which close with a stack."""

    def __init__(self, stack: ExitStack, opened: FrameSource, question: Question,
                 rows: Path | None, video: Path | None,
                 identity: Mapping[str, Any] | None) -> None:
        self._rows = None if rows is None else stack.enter_context(
            Rows(rows, identity, question.names))
        self._video = None if video is None else stack.enter_context(
            VideoFile(video, min(max(opened.fps, 1.), 240.)))

    def asking(self, predictor: Predictor, question: Question) -> Ask:
        """What answers, and takes rows of an earlier start for answers."""
        ask = predictor.ask_frames(question)
        if self._rows is not None:
            return self._rows.asking(ask)
        return lambda frames: [rounded(one) for one in ask(frames)]

    def add(self, frame: VideoFrame, found: Detections, is_new: bool) -> None:
        """Writes one frame."""
        if self._rows is not None and is_new:
            self._rows.add(frame, found)
        if self._video is not None:
            self._video.add(found.plot(frame.image[..., ::-1]), frame.time)

    def finish(self, done: Recording, tracker: Tracker | None) -> None:
        """Writes what comes at the end."""
        if self._rows is not None:
            done.resumed = self._rows.old
            if not done.interrupted:
                self._rows.finish()
        if tracker is not None:
            done.tracks = tracker.counts()


def _count(done: Recording, found: Detections, is_new: bool) -> None:
    if is_new:
        done.asked += 1
        done.counts.update(found.names)
