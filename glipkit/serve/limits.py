"""What a server takes from strangers at most, and what it answers when that is too much."""
from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real

from glipkit.errors import UserError


class TooLarge(UserError):
    """Input that is correct, but more than the server takes."""


class Busy(RuntimeError):
    """As many requests are being served as the server takes at once; try again soon.

    Attributes:
        retry_after: Seconds after which it makes sense to try again.
    """

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TimedOut(RuntimeError):
    """A request was not answered in time; nothing of it is going on any more."""


class Stopped(RuntimeError):
    """Somebody ended what was being learned for them."""


@dataclass(frozen=True)
class Limits:
    """The most that a server takes.

    Args:
        places: Requests that are read, wait or run at once; the next is refused.
        timeout: Seconds from the beginning of a request to its answer.
        max_pixels: Of an image, as its header says: it is refused before it is decoded.
        max_classes: Class names of one request.
        max_text: Characters of a caption, and of one class name.
        max_bytes: Body of one request.

    Raises:
        UserError: A limit that lets nothing pass.
    """

    places: int = 32
    timeout: float = 60.
    max_pixels: int = 40_000_000
    max_classes: int = 1300
    max_text: int = 2000
    max_bytes: int = 32 * 2**20

    def __post_init__(self) -> None:
        _check_positive(self)

    def check_size(self, width: int, height: int) -> None:
        """Refuses an image by its size in pixels.

        Raises:
            TooLarge: It has more than `max_pixels`.
        """
        if width * height > self.max_pixels:
            raise TooLarge(f'an image of at most {self.max_pixels} pixels', f'{width} x {height}',
                           'make it smaller')

    def check_words(self, classes: tuple[str, ...] | None, caption: str | None) -> None:
        """Refuses more words than one request may have.

        Raises:
            TooLarge: More class names or longer texts.
        """
        if classes is not None and len(classes) > self.max_classes:
            raise TooLarge(f'at most {self.max_classes} class names', str(len(classes)),
                           'ask for them in several requests')
        texts = [*(classes or ()), caption or '']
        if any('\ud800' <= letter <= '\udfff' for text in texts for letter in text):
            raise UserError('texts of whole characters', 'halves of surrogate pairs',
                            'encode them as UTF-8')
        longest = max(map(len, texts))
        if longest > self.max_text:
            raise TooLarge(f'texts of at most {self.max_text} characters', str(longest),
                           'shorten them')


@dataclass(frozen=True)
class LearningLimits:
    """The most that a server learns from boxes that visitors draw.

    Args:
        seconds: Budget of one lesson; a visitor may ask for less.
        places: Lessons that are read, wait or run at once; the next is refused. One runs at a time.
        pictures: Of one lesson.
        boxes: Of one lesson, those of what is not meant included.
        side: Longer side in pixels to which pictures are made smaller, so that few of them wait in
            memory.
        kept: Learned tasks that are kept at once; then those go that were not used for the longest
            time.
        age: Seconds after its last use when a learned task goes.

    Raises:
        UserError: A limit that lets nothing pass.
    """

    seconds: float = 20.
    places: int = 4
    pictures: int = 20
    boxes: int = 200
    side: int = 1600
    kept: int = 64
    age: float = 3600.

    def __post_init__(self) -> None:
        _check_positive(self)


def _check_positive(limits: Limits | LearningLimits) -> None:
    for one in fields(limits):
        value = getattr(limits, one.name)
        if not isinstance(value, Real) or not value > 0:
            raise UserError(f'a limit {one.name} above 0', repr(value), 'pass a larger number')
