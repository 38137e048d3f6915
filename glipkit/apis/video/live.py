"""The newest frame of a source that does not wait for who reads it."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from glipkit.apis.video.reading import FrameSource, VideoFrame


class Newest:
    """A thread that reads a live source; who takes a frame gets the newest one.

    A model that is slower than a camera would else fall behind, second by second, or a stream would
    be dropped by who sends it. Frames that nobody took are counted.

    Args:
        source: The source; it belongs to the thread.

    Attributes:
        missed: Frames that came and went while the reader was at work.
    """

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._news = threading.Condition()
        self._frame: VideoFrame | None = None
        self._error: BaseException | None = None
        self._ended = self._stop = False
        self.missed = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for frame in self._source:
                with self._news:
                    self.missed += self._frame is not None
                    self._frame = frame
                    self._news.notify()
                    if self._stop:
                        return
        except Exception as error:  # for the reader
            self._error = error
        finally:
            with self._news:
                self._ended = True
                self._news.notify()

    def __iter__(self) -> Iterator[VideoFrame]:
        while True:
            with self._news:
                # In pieces, so that an interruption is heard on every system.
                while self._frame is None and not self._ended:
                    self._news.wait(.2)
                frame, self._frame = self._frame, None
            if frame is None:
                if self._error is not None:
                    raise self._error
                return
            yield frame

    def close(self) -> None:
        """Ends the thread."""
        self._stop = True
        self._thread.join(timeout=30)


@contextmanager
def frames_of(source: FrameSource) -> Iterator[Newest | FrameSource]:
    """All frames of a file, or the newest ones of a live source."""
    if not source.live:
        yield source
        return
    newest = Newest(source)
    try:
        yield newest
    finally:
        newest.close()
