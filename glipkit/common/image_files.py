"""Which files count as images."""
from __future__ import annotations

from pathlib import Path

#: Endings of image files, in lower case.
IMAGE_SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')


def is_image_file(path: Path) -> bool:
    """Whether a path ends like an image; the file is not opened."""
    return path.suffix.lower() in IMAGE_SUFFIXES
