"""What a predictor finds in a video, frame by frame."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

from glipkit.apis.asking import Classes, Phrases, Question
from glipkit.apis.detections import Detections
from glipkit.apis.images import list_images
from glipkit.apis.video.live import frames_of
from glipkit.apis.video.reading import FrameSource, VideoFrame, open_video
from glipkit.apis.video.tracks import Tracker
from glipkit.errors import UserError

#: Detections of some frames.
Ask = Callable[[Sequence[VideoFrame]], list[Detections]]


class VideoWatcher:
    """The part of `Predictor` that watches videos."""

    def video(self, source: str | Path | int, classes: Classes | None = None,
              caption: str | None = None, phrases: Phrases | str | None = None, *,
              every: int = 1, track: bool = False, between: bool = False,
              **asked: Any) -> Iterator[tuple[VideoFrame, Detections]]:
        """Detections of the frames of a video, a stream or a camera, as they are made.

        Nothing is kept, so a video may be of any length. Of a live source the newest frame is
        taken, and those that come while the model is at work are left out.

        Args:
            source: A video file; ``'rtsp://...'`` or ``'stream:http://...'``; ``'camera:0'``.
            classes: As in a call.
            caption: As in a call.
            phrases: As in a call.
            every: Asks every so many frames, from the first one on.
            track: Whether things get numbers that they keep, in ``detections.tracks``.
            between: Whether to give the frames between, too, each with the detections of the last
                one that was asked.
            **asked: Further arguments of a call: ``task``, ``score_threshold``, ``per_object``,
                ``caption_prompt``, ``negative_classes``, ``exclusive``, ``channel_order``,
                ``tile``, ``overlap``.

        Yields:
            A frame, with ``index``, ``time`` in seconds and ``image``, and its detections.

        Raises:
            UserError: As in a call, or for what is no video; at the first frame.

        Example:
            >>> for frame, found in predict.video('clip.mp4', ['dog'], every=5, track=True):
            ...     print(frame.time, found.names, found.tracks)
        """
        every = check_every(every)
        question = self.question(classes, caption, phrases, **asked)
        return self._video(source, question, every, track, between)

    def _video(self, source: str | Path | int, question: Question, every: int, track: bool,
               between: bool) -> Iterator[tuple[VideoFrame, Detections]]:
        with open_video(source) as opened, frames_of(opened) as frames:
            tracker = Tracker(opened.fps / every) if track else None
            for frame, found, _ in watch(in_order(frames, question.channel_order), opened,
                                         self.ask_frames(question), every, self.batch_size,
                                         tracker, between):
                yield frame, found

    def ask_frames(self, question: Question) -> Ask:
        """What answers a question about frames, for `watch`."""

        def ask(frames: Sequence[VideoFrame]) -> list[Detections]:
            found = self.answer(list_images([frame.image for frame in frames]), question)
            return [replace(one, image_id=frame.index) for one, frame in zip(found, frames)]

        return ask


def check_every(value: int) -> int:
    """A whole number of frames from 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise UserError('every as a whole number of frames, from 1', repr(value), 'pass e.g. 5')
    return int(value)


def in_order(frames: Iterable[VideoFrame], channel_order: str) -> Iterator[VideoFrame]:
    """Frames, which are read as BGR, with their channels in the order of a question."""
    for frame in frames:
        yield frame if channel_order == 'bgr' else replace(frame, image=frame.image[..., ::-1])


def watch(frames: Iterable[VideoFrame], source: FrameSource, ask: Ask, every: int,
          batch_size: int = 1, tracker: Tracker | None = None, between: bool = False
          ) -> Iterator[tuple[VideoFrame, Detections, bool]]:
    """Frames with their detections.

    Args:
        frames: Frames in the order of their numbers, of which some may be missing.
        source: Where they come from; a live one is not made to wait for a whole batch.
        ask: Finds things in some frames.
        every: Asks the frames whose numbers it divides, or the next one where that is missing.
        batch_size: Frames that are asked together.
        tracker: Gives things their numbers; None gives none.
        between: Whether to give the other frames, too. Those within a batch wait for it.

    Yields:
        A frame, its detections, and whether it was asked. Others have the last detections before
        them.
    """
    together = 1 if source.live else batch_size
    waiting: list[tuple[VideoFrame, bool]] = []
    due, last = 0, None

    def answered() -> Iterator[tuple[VideoFrame, Detections, bool]]:
        nonlocal last
        asked = [frame for frame, is_due in waiting if is_due]
        new = iter(ask(asked) if asked else ())
        for frame, is_due in waiting:
            if is_due:
                last = next(new)
                if tracker is not None:
                    last = tracker(last, frame.time)
            yield frame, last, is_due

    for frame in frames:
        is_due = frame.index >= due
        if is_due:
            due = frame.index - frame.index % every + every
        elif not between:
            continue
        waiting.append((frame, is_due))
        if sum(is_due for _, is_due in waiting) in (0, together):
            yield from answered()
            waiting = []
    yield from answered()
