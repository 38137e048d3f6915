"""Images from web addresses: fetched by many threads, looked at, and kept under a hash."""
from __future__ import annotations

import hashlib
import http.client
import io
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from glipkit.common.pixels import eight_bits
from glipkit.data.preparation.steps import atomic
from glipkit.version import __version__

#: Kinds that every reader of the project takes, with the endings that they are kept under.
SUFFIXES = {'JPEG': '.jpg', 'PNG': '.png', 'WEBP': '.webp'}

_AGENT = f'glipkit/{__version__} (research; one request per image)'
_BLOCK = 1 << 16
_MOST_PIXELS = 80_000_000  # below the number at which PIL warns; photographs have fewer
_PLAIN = "%/:=&?~#+!$,;'@()*[]"  # stands in addresses as it is; all else is written as %xx
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap the sides
_ORIENTATION = 0x0112


class ImageProblem(Exception):
    """Why an image cannot be used; its text is one short phrase, the same for the same cause."""


@dataclass(frozen=True)
class Limits:
    """Limits of a download.

    Args:
        timeout: Seconds without any answer.
        deadline: Seconds for the whole image, however steadily it drips.
        max_bytes: Largest size of an image file.
        retries: Further attempts where the cause may pass (server errors, broken connections).
        pause: Seconds before the first of them; twice as long before each later one.
    """
    timeout: float = 20.
    deadline: float = 60.
    max_bytes: int = 20_000_000
    retries: int = 2
    pause: float = 0.5


def measure(content: bytes | Path) -> tuple[str, int, int]:
    """Decodes an image and tells (kind as PIL names it, width, height) in pixels, as displayed.

    Raises:
        ImageProblem: It is missing, none, damaged, cut off, or too large to be decoded safely.
    """
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with Image.open(source) as image:
            width, height = image.size
            if width * height > _MOST_PIXELS:
                raise ImageProblem('image with too many pixels')
            image.load()
            eight_bits(image)  # fails where nothing could be made of it
            turned = image.getexif().get(_ORIENTATION) in _TURNED
            return image.format or '', *((height, width) if turned else (width, height))
    except FileNotFoundError as error:
        raise ImageProblem('missing image') from error
    except ImageProblem:
        raise
    except Exception as error:  # decoders answer damaged files with almost any type of error
        raise ImageProblem('unreadable image') from error


def as_png(content: bytes) -> bytes:
    """An image of any kind as an RGB png."""
    target = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        eight_bits(image).convert('RGB').save(target, 'PNG')
    return target.getvalue()


def find_image(url: str, folder: Path) -> Path | None:
    """The image of this address that `fetch_all` has kept; None where there is none."""
    paths = (folder / (_stem(url) + suffix) for suffix in SUFFIXES.values())
    return next((path for path in paths if path.is_file()), None)


def fetch_all(urls: Sequence[str], folder: Path, limits: Limits,
              threads: int) -> Iterator[Path | ImageProblem]:
    """Fetches images that are not in the folder yet.

    Each is decoded before it is kept, as ``ab/abcdef....jpg``: the SHA-256 of its address. A run
    that was killed leaves whole files only.

    Args:
        urls: http and https addresses.
        folder: Made where there is none.
        limits: See there.
        threads: Downloads at a time.

    Yields:
        Per address, in order, its file or what went wrong.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(_caught(lambda url: _fetch_one(url, folder, limits)), urls)
    finally:
        pool.shutdown(cancel_futures=True)


def measure_all(paths: Sequence[Path], threads: int) -> Iterator[tuple[int, int] | ImageProblem]:
    """(width, height) of each file, or what is wrong with it."""
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(_caught(lambda path: measure(path)[1:]), paths)


def fetch(url: str, limits: Limits) -> bytes:
    """The bytes of one address.

    Raises:
        ImageProblem: The address has another scheme, or is refused, too slow or too large.
    """
    if not url.startswith(('http://', 'https://')):
        raise ImageProblem('address that is not http or https')
    for attempt in range(limits.retries + 1):
        if attempt:
            time.sleep(limits.pause * 2**(attempt - 1))
        try:
            return _read(url, limits)
        except urllib.error.HTTPError as error:
            problem = ImageProblem(f'answer {error.code}')
            if error.code < 500 and error.code != 429:
                raise problem from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            # A URLError is an OSError; ValueError stands for addresses that cannot be parsed.
            reason = getattr(error, 'reason', error)
            late = isinstance(error, TimeoutError) or isinstance(reason, TimeoutError)
            problem = ImageProblem('no answer in time' if late else 'no connection')
            if isinstance(error, ValueError):
                raise ImageProblem('address that cannot be read') from error
    raise problem


def _read(url: str, limits: Limits) -> bytes:
    quoted = urllib.parse.quote(url, safe=_PLAIN)
    request = urllib.request.Request(quoted, headers={'User-Agent': _AGENT})
    end = time.monotonic() + limits.deadline
    content = bytearray()
    with urllib.request.urlopen(request, timeout=limits.timeout) as answer:
        while block := answer.read1(_BLOCK):
            content += block
            if len(content) > limits.max_bytes:
                raise ImageProblem('file that is too large')
            if time.monotonic() > end:
                raise ImageProblem('file that comes too slowly')
        # read1 does not tell a closed connection from the end.
        if answer.length:
            raise http.client.IncompleteRead(bytes(content), answer.length)
    return bytes(content)


def _fetch_one(url: str, folder: Path, limits: Limits) -> Path:
    kept = find_image(url, folder)
    if kept is not None:
        return kept
    content = fetch(url, limits)
    kind, _, _ = measure(content)
    if kind not in SUFFIXES:
        kind, content = 'PNG', as_png(content)
    path = folder / (_stem(url) + SUFFIXES[kind])
    with atomic(path) as file:
        file.write(content)
    return path


def _stem(url: str) -> str:
    digest = hashlib.sha256(url.encode()).hexdigest()
    return f'{digest[:2]}/{digest}'


def _caught(function: Callable) -> Callable:
    """The function with its `ImageProblem` as a result, for threads to hand over."""

    def call(item):
        try:
            return function(item)
        except ImageProblem as problem:
            return problem

    return call
