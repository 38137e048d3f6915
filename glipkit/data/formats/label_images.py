"""Pictures whose pixels are numbers: labels of classes, ids of segments."""
from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image

from glipkit.errors import UserError


def read_labels(path: str | Path) -> np.ndarray:
    """The values of a label PNG, (H, W) int32; those of a picture with a palette are its indices.

    Raises:
        UserError: No such file, damaged, or a picture of colours.
    """
    image = _open(path, 'a label PNG of one channel')
    if image.mode not in ('L', 'P', 'I') and not image.mode.startswith('I;16'):
        raise UserError('a label PNG of one channel', f'{path} of mode {image.mode}',
                        'save labels as grey of 8 or 16 bits')
    return np.asarray(image).astype(np.int32)


def read_segment_ids(path: str | Path) -> np.ndarray:
    """Ids of a panoptic PNG, (H, W) int32: R + 256 G + 65536 B, as COCO has them; 0 is nothing.

    Raises:
        UserError: No such file, damaged, or not three channels.
    """
    image = _open(path, 'a panoptic PNG of three channels')
    if image.mode not in ('RGB', 'RGBA'):
        raise UserError('a panoptic PNG of three channels', f'{path} of mode {image.mode}',
                        'check the folder: label PNGs have one channel, panoptic ones three')
    channels = np.asarray(image).astype(np.int32)
    return channels[..., 0] + 256 * channels[..., 1] + 65536 * channels[..., 2]


def segment_picture(ids: np.ndarray) -> Image.Image:
    """The panoptic picture of segment ids (H, W), see `read_segment_ids`."""
    return Image.fromarray(np.stack([ids >> shift & 255 for shift in (0, 8, 16)],
                                    -1).astype(np.uint8))


def check_size(found: np.ndarray, size: tuple[int, int], path: str | Path) -> None:
    """Refuses a picture of labels of another size than its image.

    Args:
        found: (H, W).
        size: (height, width) of the image.
        path: Of the picture of labels, for the message.

    Raises:
        UserError: The sizes differ.
    """
    if found.shape != tuple(size):
        raise UserError(f'labels of {size[1]} x {size[0]} pixels, as the image has',
                        f'{path} of {found.shape[1]} x {found.shape[0]}',
                        'take the file that belongs to the image')


def check_values(found: np.ndarray, known: Collection[int], path: str | Path,
                 meaning: str, fix: str) -> None:
    """Refuses numbers that nothing stands for.

    Args:
        found: (H, W).
        known: Numbers that may be there.
        path: Of the picture, for the message.
        meaning: What the numbers are.
        fix: What to do.

    Raises:
        UserError: Another number is there.
    """
    unknown = sorted(set(np.unique(found).tolist()) - set(known))
    if unknown:
        shown = ', '.join(map(str, unknown[:5])) + (', ...' if len(unknown) > 5 else '')
        raise UserError(meaning, f'{path} with {shown}', fix)


def _open(path: str | Path, what: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, 'strerror', None) or 'damaged, or no picture'
        raise UserError(what, f'{path} ({reason})', 'check the folder, or restore the file') \
            from error
    return image
