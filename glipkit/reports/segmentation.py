"""Pictures of segmentation: the image, what is there, and what models say, side by side."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glipkit.apis.segmentation import draw_labels
from glipkit.errors import UserError
from glipkit.files import write_encoded

#: Height of a column's title and gap between pictures, in pixels of a sheet.
TITLE, GAP = 26, 4


def plot_segmentations(rows: Sequence[tuple[Image.Image, Mapping[str, np.ndarray]]],
                       classes: Sequence[str], path: str | Path, cell: int = 320) -> None:
    """Draws a sheet: a row per image, and a column for the image and for each label map of it.

    Args:
        rows: Each an RGB image (H, W) and its label maps, title -> (H, W) indices into ``classes``;
            pixels below 0 have none. All rows have the same titles, e.g. 'truth', 'before',
            'after'.
        classes: Names.
        path: PNG to write.
        cell: Longer side of a picture on the sheet, in pixels.

    Raises:
        UserError: No row, rows with other titles, or a label map of another size than its image.
    """
    titles = [tuple(maps) for _, maps in rows]
    if not rows or len(set(titles)) > 1:
        raise UserError('rows with the same label maps', f'{sorted(set(titles))}',
                        'give every image the same ones')
    columns = ('image', *titles[0])
    sheet = Image.new('RGB', (len(columns) * (cell + GAP), TITLE + len(rows) * (cell + GAP)),
                      'white')
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TITLE // 2)
    for place, title in enumerate(columns):
        pen.text((place * (cell + GAP) + cell // 2, TITLE // 2), title, 'black', font, 'mm')
    for row, (image, maps) in enumerate(rows):
        # Enlarged first, so that names keep their size.
        scale = cell / max(image.size)
        size = tuple(max(round(side * scale), 1) for side in image.size)
        scene = image.convert('RGB').resize(size, Image.BICUBIC)
        pictures = [scene]
        for labels in maps.values():
            if labels.shape != image.size[::-1]:
                raise UserError(f'label maps of {image.size[0]} x {image.size[1]} pixels, as the '
                                'image', f'{labels.shape[1]} x {labels.shape[0]}',
                                'give them the size of the image')
            grown = Image.fromarray(labels.astype(np.int32)).resize(size, Image.NEAREST)
            pictures.append(draw_labels(scene, np.asarray(grown), tuple(classes), .7))
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (column * (cell + GAP), TITLE + row * (cell + GAP)))
    write_encoded(path, lambda file: sheet.save(file, 'PNG'))
