"""The pixels of a world's things, as COCO panoptic files and as label PNGs.

::

    OUT/annotations/panoptic/SPLIT/000001.png   ids of things, R + 256 G + 65536 B; 0 is none
    OUT/annotations/labels/SPLIT/000001.png     category ids; 0 is none, as in ADE20K
    OUT/annotations/panoptic_SPLIT.json         with SPLIT train_det, train_grd, val
    OUT/annotations/classes.txt                 category names, a line each, from id 1 on
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glipkit.data.formats.label_images import segment_picture
from glipkit.files import make_folder, write_encoded
from glipkit.worlds.captions import Thing


def draw_masks(things: Sequence[Thing], size: tuple[int, int],
               ids: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """What is seen of each thing where later ones hide earlier ones.

    Args:
        things: With covers, in drawing order.
        size: (height, width) of the picture.
        ids: Category name -> id.

    Returns:
        Numbers of things (H, W), from 1; category ids (H, W); and the records of the things with a
        pixel, as of ``segments_info``.
    """
    numbers, labels, segments = np.zeros(size, np.int32), np.zeros(size, np.int32), []
    for number, thing in enumerate(things, start=1):
        thing.cover.fill(numbers, number)
        thing.cover.fill(labels, ids[thing.name])
    for number, thing in enumerate(things, start=1):
        mask = numbers == number
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y = int(columns[0]), int(rows[0])
            segments.append(dict(
                id=number, category_id=ids[thing.name], iscrowd=0, area=int(mask.sum()),
                bbox=[x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]))
    return numbers, labels, segments


def save_masks(out_dir: Path, split: str, file_name: str, numbers: np.ndarray,
               labels: np.ndarray, classes: int) -> None:
    """Writes the two PNGs of a picture; labels have 16 bits for more than 255 classes."""
    deep = np.uint16 if classes > 255 else np.uint8
    pictures = segment_picture(numbers), Image.fromarray(labels.astype(deep))
    for folder, picture in zip(('panoptic', 'labels'), pictures):
        path = (out_dir / 'annotations' / folder / split / file_name).with_suffix('.png')
        make_folder(path.parent)
        write_encoded(path, lambda file, picture=picture: picture.save(file, 'PNG'))
