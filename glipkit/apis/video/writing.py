"""A video of pictures, as a file that is there whole or not at all."""
from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from glipkit.errors import UserError
from glipkit.files import atomic, check_file, make_folder, remove_unfinished

#: Endings of files that can be written -> what ffmpeg calls them.
FORMATS = {'.mp4': 'mp4', '.m4v': 'mp4', '.mov': 'mov', '.mkv': 'matroska'}
#: Encoders, the first that is there: H.264, which browsers play, and what every ffmpeg has.
ENCODERS = ('libx264', 'h264', 'mpeg4')
#: Units of time in a second.
CLOCK = 90000


def check_video_name(path: Path) -> Path:
    """The path of a video that can be written.

    Raises:
        UserError: Another ending, or nothing can be written there.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f'a video to write that ends in {", ".join(FORMATS)}', str(path),
                        'change its name')
    check_file(path)
    return path


class VideoFile:
    """A video file to write, as a context.

    The file is put in place at the end. An error leaves no file; an interruption that its caller
    has caught by then leaves what was written so far, playable.

    Pictures keep their times. H.264 takes even sides alone: an odd one gets one more row or column,
    the last one again.

    Args:
        path: File; its ending says which kind.
        fps: Frames per second, about.

    Raises:
        UserError: As `check_video_name`.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = check_video_name(path)
        self._fps = fps
        self._stack = ExitStack()
        self._container = self._stream = None
        self._last = -1

    def __enter__(self) -> VideoFile:
        remove_unfinished(self.path.parent, self.path.name)
        return self

    def add(self, picture: Image.Image | np.ndarray, time: float) -> None:
        """Writes a picture.

        Args:
            picture: RGB; all of one size.
            time: Seconds from the beginning; not before that of the last one.
        """
        import av
        pixels = _even(np.asarray(picture))
        if self._stream is None:
            self._open(*pixels.shape[:2])
        frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
        self._last = max(self._last + 1, round(time * CLOCK))
        frame.pts, frame.time_base = self._last, Fraction(1, CLOCK)
        self._container.mux(self._stream.encode(frame))

    def _open(self, height: int, width: int) -> None:
        import av
        make_folder(self.path.parent)
        temporary = self._stack.enter_context(atomic(self.path))
        self._container = av.open(str(temporary), 'w', format=FORMATS[self.path.suffix.lower()])
        self._stack.callback(self._container.close)
        encoder = next(one for one in ENCODERS if one in av.codecs_available)
        options = {'preset': 'veryfast'} if encoder == 'libx264' else {}
        self._stream = self._container.add_stream(
            encoder, rate=Fraction(self._fps).limit_denominator(1001), options=options)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = 'yuv420p'
        self._stream.codec_context.time_base = Fraction(1, CLOCK)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with self._stack:
            if error is not None:
                self._stack.__exit__(kind, error, trace)
            elif self._stream is not None:
                self._container.mux(self._stream.encode())


def _even(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
    return np.ascontiguousarray(pixels)
