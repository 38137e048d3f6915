"""Images in any form that users pass, as one list of sources; pixels of any mode as BGR."""
from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from glipkit.common.image_files import IMAGE_SUFFIXES, is_image_file
from glipkit.common.pixels import eight_bits
from glipkit.errors import UserError
from glipkit.files import refuse_address

Images = str | Path | np.ndarray | Image.Image | Iterable[Any]


@dataclass(frozen=True)
class ImageSource:
    """One image: the path of a file, or pixels.

    Args:
        path: Path of the file; None for pixels.
        pixels: Array or PIL image that the caller passed; None for files.
        position: Position in the caller's list, for messages.
    """

    path: Path | None
    pixels: np.ndarray | Image.Image | None
    position: int

    def __str__(self) -> str:
        return str(self.path) if self.path else f'image {self.position}'


def list_images(images: Images) -> list[ImageSource]:
    """Every image of an argument: a path, a folder, an array, a PIL image, or any mix in a list.

    Folders give their image files in the order of their names, and then those of the folders
    inside them; what macOS leaves beside images (``._a.jpg``, ``__MACOSX``) and hidden folders are
    left out. ``~`` is the home, and ``*``, ``?``, ``[..]`` and ``**`` stand for names, where no
    file has the name as it is.

    Raises:
        UserError: When there is no image, a path does not exist, or a folder holds none.
    """
    sources = [ImageSource(path, pixels, i) for i, (path, pixels) in enumerate(_flatten(images))]
    if not sources:
        raise UserError('at least one image', 'an empty list',
                        'pass a path, an array, a PIL image or a list of these')
    return sources


def without_results(sources: Sequence[ImageSource], named: Sequence[str],
                    out: Path) -> list[ImageSource]:
    """Images without those in the folder of the results, which an earlier run has drawn.

    Where somebody names that folder, or something in it, its images are meant.

    Args:
        sources: Images of ``named``.
        named: Names of images, folders, and patterns.
        out: Folder of the results.
    """
    home = out.resolve()
    if any(home in (path, *path.parents) for path in (_place(name).resolve() for name in named)):
        return list(sources)
    left = [one for one in sources
            if one.path is None or home not in one.path.resolve().parents]
    return left or list(sources)


def _flatten(images: Images) -> Iterator[tuple[Path | None, np.ndarray | Image.Image | None]]:
    if isinstance(images, ImageSource):  # listed before
        yield images.path, images.pixels
    elif isinstance(images, (np.ndarray, Image.Image)):
        yield None, images
    elif isinstance(images, (str, Path)):
        for path in _files(images):
            yield path, None
    elif isinstance(images, Iterable) and not isinstance(images, (bytes, dict)) and not hasattr(
            images, 'detach'):
        for image in images:
            yield from _flatten(image)
    else:
        raise UserError('images as paths, numpy arrays, PIL images or a list of these',
                        type(images).__name__, 'convert them, e.g. tensor.numpy()')


def _files(name: str | Path) -> list[Path]:
    path = _place(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = list(_below(path, set()))
        if not found:
            raise UserError(f'a folder with images ({", ".join(IMAGE_SUFFIXES)})',
                            f'none in {path}', 'check the path')
        return found
    refuse_address(name)
    if not glob.has_magic(str(path)):
        raise UserError('an image file or a folder of images', f'no such file at {path}',
                        'check the path')
    found = []
    for match in sorted(map(Path, glob.glob(str(path), recursive=True))):
        if match.is_dir():
            # ** names the folders inside itself.
            found += [] if '**' in str(path) else _below(match, set())
        elif _counts(match):
            found.append(match)
    if not found:
        raise UserError('names of images', f'nothing that matches {path}', 'check the pattern')
    return found


def _place(name: str | Path) -> Path:
    """The path that a name means; the home of a user stands for ``~`` where no file does."""
    path = Path(name)
    if not str(path).startswith('~') or os.path.lexists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError('the home of a user that is known here', str(name),
                        'write the path out') from error


def _below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Image files of a folder and of those inside it, each folder once however it is linked."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    inside = sorted(folder.iterdir())
    yield from (path for path in inside if _counts(path))
    for path in inside:
        if path.is_dir() and not path.name.startswith('.') and path.name != '__MACOSX':
            yield from _below(path, seen)


def _counts(path: Path) -> bool:
    """Whether a path is an image by its name; a link to nothing is one, which cannot be read."""
    return is_image_file(path) and not path.name.startswith('._') and not path.is_dir()


def to_bgr(source: ImageSource, channel_order: str) -> np.ndarray:
    """Pixels in the form in which the pipelines read files.

    Args:
        source: Image with pixels: a PIL image of any mode, or an array (H, W, 3) or (H, W), uint8.
        channel_order: Order of the channels of arrays, ``'bgr'`` or ``'rgb'``.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        UserError: For arrays of another shape or type, and images that cannot be read.
    """
    pixels = source.pixels
    if isinstance(pixels, Image.Image):
        return np.ascontiguousarray(np.asarray(to_rgb(pixels, source))[..., ::-1])
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise UserError('arrays of shape (height, width, 3) or (height, width)',
                        f'{source} of shape {tuple(pixels.shape)}',
                        'pass one array per image, channels last, without alpha')
    if pixels.dtype != np.uint8:
        raise UserError('arrays of uint8, 0 to 255', f'{source} of {pixels.dtype}',
                        'convert it, e.g. (image * 255).astype(np.uint8)')
    return np.ascontiguousarray(pixels if channel_order == 'bgr' else pixels[..., ::-1])


def to_rgb(image: Image.Image, source: ImageSource | str) -> Image.Image:
    """A PIL image as mmcv reads files of its kind: turned upright by its EXIF tag, in RGB.

    Raises:
        UserError: It is cut off, or its pixels have 32 bits.
    """
    try:
        kind = image.format
        image = ImageOps.exif_transpose(image)
        image.format = kind  # which tells the range of some modes
        image = eight_bits(image)
        if image.mode != 'LA':
            return image.convert('RGB')
        # mmcv puts grey images with transparency on this colour: black would hide dark things.
        canvas = Image.new('RGB', image.size, (124, 117, 104))
        rgba = image.convert('RGBA')
        canvas.paste(rgba, mask=rgba.getchannel('A'))
        return canvas
    except (OSError, ValueError) as error:
        raise unreadable(source, error) from error


def unreadable(source: ImageSource | str, error: Exception) -> UserError:
    """The error for a file that is a damaged image, or not an image."""
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    # PIL names the stream that it was given, which does not help the user.
    if isinstance(error, UnidentifiedImageError):
        reason = 'no image of a known kind'
    return UserError('an image that can be read whole', f'{source} ({reason})',
                     'replace the file or leave it out')
