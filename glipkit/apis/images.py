"""Images in any form that users pass, as one list of sources; pixels of any mode as BGR."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from glipkit.common.image_files import IMAGE_SUFFIXES, is_image_file
from glipkit.common.pixels import eight_bits
from glipkit.errors import UserError

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

    Folders give their image files in the order of their names; folders inside them are left out.

    Raises:
        UserError: When there is no image, a path does not exist, or a folder holds none.
    """
    sources = [ImageSource(path, pixels, i) for i, (path, pixels) in enumerate(_flatten(images))]
    if not sources:
        raise UserError('at least one image', 'an empty list',
                        'pass a path, an array, a PIL image or a list of these')
    return sources


def _flatten(images: Images) -> Iterator[tuple[Path | None, np.ndarray | Image.Image | None]]:
    if isinstance(images, (np.ndarray, Image.Image)):
        yield None, images
    elif isinstance(images, (str, Path)):
        for path in _files(Path(images)):
            yield path, None
    elif isinstance(images, Iterable) and not isinstance(images, (bytes, dict)) and not hasattr(
            images, 'detach'):
        for image in images:
            yield from _flatten(image)
    else:
        raise UserError('images as paths, numpy arrays, PIL images or a list of these',
                        type(images).__name__, 'convert them, e.g. tensor.numpy()')


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError('an image file or a folder of images', f'no such file at {path}',
                        'check the path')
    found = sorted(p for p in path.iterdir() if is_image_file(p) and p.is_file())
    if not found:
        raise UserError(f'a folder with images ({", ".join(IMAGE_SUFFIXES)})', f'none in {path}',
                        'check the path; folders inside it are not searched')
    return found


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
