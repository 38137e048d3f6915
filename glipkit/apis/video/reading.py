"""The frames of a video file, a stream or a camera, upright, with their times."""
from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.common.video_names import camera_number, stream_address
from glipkit.errors import UserError
from glipkit.files import refuse_address

#: Seconds to wait for a stream: until it opens, and for each of its frames.
TIMEOUT = (20., 20.)
#: Frames per second where neither the file nor the camera knows.
USUAL_FPS = 25.
#: A file whose frames end so many seconds before what it says is cut off.
CUT_OFF = 1.


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame.

    Args:
        index: Its number in the video, from 0; those of damaged frames are left out.
        time: Seconds since the first frame.
        image: (H, W, 3) uint8, turned upright; BGR, or RGB where the predictor's arrays are.
    """

    index: int
    time: float
    image: np.ndarray


class UnreadableVideo(UserError):
    """A file, a stream or a camera that gives no frames."""


class FrameSource:
    """Frames in their order, once; a context that closes what is read.

    Attributes:
        name: For messages.
        fps: Frames per second.
        count: Frames that the file says it has; None where it does not say.
        live: Whether frames come when they come, and do not wait.
        read: Frames that were given, so far.
        damaged: Frames that could not be decoded, so far.
        cut_off: How a file or stream ended before its end, as a part of a sentence; None for one
            that did not, or is not at its end.
    """

    def __init__(self, name: str, fps: float, count: int | None = None, live: bool = False) -> None:
        self.name, self.fps, self.count, self.live = name, fps, count, live
        self.read = self.damaged = 0
        self.cut_off: str | None = None

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        raise NotImplementedError

    def close(self) -> None:
        """Lets go of the file or the camera."""

    def problems(self) -> list[str]:
        """A line for each thing that was wrong, after the last frame."""
        lines = []
        if self.damaged:
            frames = 'frame is' if self.damaged == 1 else 'frames are'
            lines.append(f'{self.name}: {self.damaged} {frames} damaged and left out')
        return lines + ([f'{self.name} {self.cut_off}'] if self.cut_off else [])


def open_video(source: str | Path | int) -> FrameSource:
    """A video to be read.

    Args:
        source: A file; ``'rtsp://...'``, or any other address of a stream that ffmpeg reads, with
            ``stream:`` before it where it does not look like one; ``'camera:0'`` or a number.

    Raises:
        UnreadableVideo: It is not there, or no video.
    """
    number = source if isinstance(source, int) else camera_number(source)
    if number is not None:
        return Camera(number)
    address = stream_address(source)
    if address is not None:
        return EncodedVideo(address, is_file=False)
    if not Path(source).is_file():
        refuse_address(source)
        raise UnreadableVideo('a video file', f'no such file at {source}', 'check the path')
    return EncodedVideo(str(source), is_file=True)


class EncodedVideo(FrameSource):
    """A file or a stream, by PyAV."""

    def __init__(self, place: str, is_file: bool) -> None:
        import av  # with ffmpeg's weight only where it is needed
        self._errors = av.FFmpegError
        # A file is bytes alone: a playlist in it must not make ffmpeg open other places.
        options = {'protocol_whitelist': 'file'} if is_file else {'rtsp_transport': 'tcp'}
        try:
            self._container = av.open(f'file:{place}' if is_file else place, options=options,
                                      timeout=None if is_file else TIMEOUT)
        except self._errors as error:
            raise _no_video(place, error.strerror or str(error)) from error
        streams = self._container.streams.video
        if not streams:
            self._container.close()
            raise _no_video(place, 'no pictures in it')
        self._stream = stream = streams[0]
        self._begin: float | None = None
        self._lost: list[float] = []
        fps = stream.average_rate or stream.guessed_rate or USUAL_FPS
        seconds = stream.duration * stream.time_base if stream.duration else \
            (self._container.duration or 0) / av.time_base
        self._seconds = float(seconds)
        live = not is_file and not self._seconds
        # Pictures of a web camera have no times; ffmpeg makes some up.
        self._no_times = live and 'jpeg' in self._container.format.name
        count = stream.frames or round(self._seconds * fps) or None
        super().__init__(Path(place).name if is_file else place, float(fps),
                         None if live else count, live)

    def __iter__(self) -> Iterator[VideoFrame]:
        index, last = 0, 0.
        for frame in self._decoded():
            # Frames come in the order of their times; packets that are lost do not.
            before = [at for at in self._lost if frame.pts is None or at < frame.pts]
            self._lost = [at for at in self._lost if at not in before]
            index += len(before)
            if frame.is_corrupt:
                self.damaged += 1
            else:
                last = self._time_of(frame, index)
                turned = np.rot90(frame.to_ndarray(format='bgr24'), round(frame.rotation / 90))
                self.read += 1
                yield VideoFrame(index, last, np.ascontiguousarray(turned))
            index += 1
        self._check_end(index + len(self._lost), last)

    def _decoded(self) -> Iterator[Any]:
        """Frames of ffmpeg; what cannot be decoded is counted, and its time kept."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except self._errors as error:
                self.cut_off = f'breaks off ({error.strerror or error})'
                return
            try:
                frames = packet.decode()
            except self._errors:
                self.damaged += 1
                self._lost.append(packet.pts if packet.pts is not None else -math.inf)
                continue
            yield from frames

    def _time_of(self, frame: Any, index: int) -> float:
        now = time.monotonic() if self._no_times else frame.time
        if now is None:
            return index / self.fps
        if self._begin is None:  # of a stream that was joined in its middle
            self._begin = now
        return now - self._begin

    def _check_end(self, index: int, last: float) -> None:
        """Whether a file had the frames that it says it has."""
        exact = self._stream.frames
        early = index < exact if exact else last + CUT_OFF + 2 / self.fps < self._seconds
        if self.cut_off is None and early and not self.live:
            about = '' if exact else 'about '
            self.cut_off = f'ends after {index} of {about}{self.count} frames'

    def close(self) -> None:
        with suppress(self._errors):
            self._container.close()


class Camera(FrameSource):
    """A camera of this machine, by OpenCV."""

    def __init__(self, number: int) -> None:
        import cv2
        level = cv2.getLogLevel()
        cv2.setLogLevel(0)  # its lines about drivers do not help whoever asks for a camera
        try:
            self._capture = cv2.VideoCapture(number)
        finally:
            cv2.setLogLevel(level)
        if not self._capture.isOpened():
            raise UnreadableVideo('a camera that this machine has and that is free',
                                  f'camera:{number}, which does not open', 'try camera:0')
        super().__init__(f'camera:{number}', self._capture.get(cv2.CAP_PROP_FPS) or USUAL_FPS,
                         live=True)

    def __iter__(self) -> Iterator[VideoFrame]:
        index, begin = 0, None
        while True:
            there, image = self._capture.read()
            if not there:
                self.cut_off = f'stopped after {index} frames'
                return
            now = time.monotonic()
            begin = now if begin is None else begin
            self.read += 1
            yield VideoFrame(index, now - begin, image)
            index += 1

    def close(self) -> None:
        self._capture.release()


def _no_video(place: str, reason: str) -> UnreadableVideo:
    return UnreadableVideo('a video that can be read', f'{place} ({reason})',
                           'check the file, the address, or that it was copied whole')
