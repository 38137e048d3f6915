"""Image files: whether they are there, can be decoded, and have the size that the file tells."""
from __future__ import annotations

import io
import math
import multiprocessing
import os
import stat
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from glipkit.common.pixels import is_deep
from glipkit.common.reporter import track
from glipkit.data.checking.boxes import Size
from glipkit.data.checking.findings import Findings
from glipkit.data.formats.tar_shards import FileSlice
from glipkit.data.formats.tsv_table import TsvImage
from glipkit.data.transforms.loading import decode_image
from glipkit.errors import UserError

Place = str | FileSlice | TsvImage
"""Where the bytes of an image are: the path of its file, or a place inside another one."""

_ORIENTATION = 0x0112
_ON_ITS_SIDE = range(5, 9)  # EXIF orientations that swap width and height
_CHUNK = 16
_FEW = 64  # images below which starting processes takes longer than decoding


class Decoded(NamedTuple):
    """What came of reading one image.

    Args:
        problem: Kind of finding; '' where the image can be used.
        cause: More about the problem.
        width: Pixels, as the pipelines read it: turned upright.
        height: Likewise.
        turned: Whether EXIF swapped the sides.
        deep: Whether its channels have more than 8 bits.
        animated: Whether it has several frames.
    """
    problem: str = ''
    cause: str = ''
    width: int = 0
    height: int = 0
    turned: bool = False
    deep: bool = False
    animated: bool = False


@dataclass
class _Listed:
    where: str
    size: Size
    name: str


class ImageList:
    """All images of a file, each once, or an even selection of them.

    Args:
        limit: The most images to keep; None for all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.seen = 0
        self._stride = 1
        self._kept: dict[Place, _Listed] = {}

    def add(self, place: Place, size: Size, where: str, name: str) -> None:
        """Lists an image.

        Args:
            place: Place of the image.
            size: Size in the annotation file.
            where: Place of its record, for the report.
            name: Name in the annotation file.
        """
        if self.seen % self._stride == 0:
            self._kept.setdefault(place, _Listed(where, size, name))
            if self.limit is not None and len(self._kept) >= 2 * max(self.limit, 1):
                # Twice the step: what is left is spread over all that came so far.
                self._kept = dict(list(self._kept.items())[::2])
                self._stride *= 2
        self.seen += 1

    def items(self, limit: int | None = None) -> Mapping[Place, _Listed]:
        """The images to look at, at most ``limit``, evenly spread."""
        bounds = [n for n in (self.limit, limit) if n is not None]
        kept = list(self._kept.items())
        if bounds and len(kept) > min(bounds):
            step = len(kept) / min(bounds)
            kept = [kept[math.floor(i * step)] for i in range(min(bounds))]
        return dict(kept)


def check_existence(images: ImageList, findings: Findings) -> set[str]:
    """Looks whether files are there, without opening them.

    Returns:
        Names, as in the annotation file, of those that are missing or empty.
    """
    items = images.items()
    bad = set()
    for place, listed in track(items.items(), 'looking for images', unit='file'):
        problem = _status(place)
        if problem:
            findings.add(problem, listed.where, place)
            bad.add(listed.name)
    _judge_losses(len(bad), len(items), findings)
    return bad


def check_decoding(images: ImageList, findings: Findings, workers: int = 1,
                   limit: int | None = None) -> set[str]:
    """Decodes images as the pipelines do and compares them with the annotation file.

    Args:
        images: The list; files that `check_existence` reported are skipped.
        findings: Collection that takes the findings.
        workers: Number of processes.
        limit: Largest number of images to decode; None for all.

    Returns:
        Names of the images that cannot be used.

    Raises:
        UserError: A decoder killed its process.
    """
    items = {place: listed for place, listed in images.items(limit).items()
             if not _status(place)}
    bad, compared, differ = set(), 0, 0
    results = _decode_all(list(items), workers)
    for listed, result in track(zip(items.values(), results), 'decoding images', len(items),
                                'image'):
        if result.problem:
            findings.add(result.problem, listed.where, f'{listed.name} ({result.cause})')
            bad.add(listed.name)
            continue
        for kind, there in (('deep_pixels', result.deep), ('animated', result.animated)):
            if there:
                findings.add(kind, listed.where, listed.name)
        if None not in listed.size:
            compared += 1
            differ += _compare(listed, result, findings)
    _judge_sizes(differ, compared, findings)
    _judge_losses(len(bad), len(items), findings)
    return bad


def check_turned(images: ImageList, findings: Findings) -> None:
    """Finds images whose labels are of the unturned picture by their headers, decoding none."""
    items = {place: listed for place, listed in images.items().items()
             if None not in listed.size and not _status(place)}
    compared, differ = 0, 0
    for place, listed in track(items.items(), 'looking at sizes of images', unit='file'):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                with Image.open(place if isinstance(place, str) else
                                io.BytesIO(place.read())) as image:
                    turned, size = _is_turned(image), image.size
        except Exception:  # what cannot be opened is told by whoever decodes it
            continue
        compared += 1
        if turned:
            differ += _compare(listed, Decoded(width=size[1], height=size[0], turned=True),
                               findings)
    _judge_sizes(differ, compared, findings)


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE


def decode(place: Place) -> Decoded:
    """Reads one image as the pipelines do; never raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            content = _read(place)
            if not content:
                return Decoded('empty_file', '0 bytes')
            with Image.open(io.BytesIO(content)) as image:
                deep = is_deep(image)
                animated = getattr(image, 'n_frames', 1) > 1
                turned = _is_turned(image)
            pixels = decode_image(content)
    except Exception as error:  # decoders answer damaged files with almost any type of error
        cause = ' '.join(str(error).split())
        # Pillow names the buffer that it read from.
        cause = cause.split(' <_io.')[0] or type(error).__name__
        return Decoded('unreadable_image', cause)
    height, width = pixels.shape[:2]
    return Decoded('', '', width, height, turned, deep, animated)


def _read(place: Place) -> bytes:
    return Path(place).read_bytes() if isinstance(place, str) else place.read()


def _status(place: Place) -> str:
    if not isinstance(place, str):
        return ''  # inside a file that was opened
    try:
        status = os.stat(place)
    except (OSError, ValueError):  # ValueError: a null character in the name
        return 'missing_image'
    if stat.S_ISDIR(status.st_mode):
        return 'missing_image'
    return '' if status.st_size else 'empty_file'


def _decode_all(places: list[Place], workers: int) -> Iterator[Decoded]:
    if workers <= 1 or len(places) < _FEW:
        yield from map(decode, places)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context()) as pool:
        try:
            yield from pool.map(decode, places, chunksize=_CHUNK)
        except BrokenProcessPool as error:
            raise UserError('images that a decoder survives', 'one that killed its process',
                            'find it with --workers 1') from error


def _compare(listed: _Listed, result: Decoded, findings: Findings) -> bool:
    """Whether the sizes differ; an image that EXIF turned counts as one that does."""
    found = result.width, result.height
    if listed.size == found:
        return False
    kind = 'exif_turns' if result.turned and listed.size == found[::-1] else 'size_differs'
    findings.add(kind, listed.where,
                 f'{listed.name} is {found[0]}x{found[1]}, the file says '
                 f'{listed.size[0]}x{listed.size[1]}')
    return True


def _judge_sizes(differ: int, compared: int, findings: Findings) -> None:
    if differ >= max(1, compared / 2) and compared > 1:
        findings.add('most_sizes_differ', 'images', f'{differ} of {compared} images')


def _judge_losses(bad: int, total: int, findings: Findings) -> None:
    if total and bad == total:
        findings.add('no_usable_image', 'images', f'{bad} of {total}')
    elif bad * 2 >= total > 1:
        findings.add('many_bad_images', 'images', f'{bad} of {total}')
