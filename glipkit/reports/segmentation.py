"""Pictures of segmentation: the image, what is there, and what models say, side by side."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from glipkit.apis.detections import open_picture
from glipkit.apis.segmentation import draw_labels
from glipkit.errors import UserError
from glipkit.files import make_folder, write_encoded
from glipkit.text.query import Query

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


class SegmentationPictures(Hook):
    """Draws the first images of a test that names pixels or masks, with the truth beside it.

    Other tests draw nothing.

    Args:
        path: PNG to write when the test has ended.
        count: How many images.
    """

    def __init__(self, path: str | Path, count: int = 6) -> None:
        self.path, self.count = Path(path), count
        self.drawn = False
        self._names: tuple[str, ...] = ()
        self._rows: list[tuple[Image.Image, dict[str, np.ndarray]]] = []

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                        outputs: Sequence[DetDataSample] | None = None) -> None:
        """Keeps images of a batch until there are enough."""
        for sample in outputs or () if is_main_process() else ():
            maps = label_maps(sample) if len(self._rows) < self.count else {}
            if maps:
                self._names = Query.of_sample(sample).classes or ()
                self._rows.append((open_picture(sample.img_path), maps))

    def after_test(self, runner: Any) -> None:
        """Draws them."""
        if self._rows:
            make_folder(self.path.parent)
            plot_segmentations(self._rows, self._names, self.path)
            self.drawn = True


def label_maps(sample: DetDataSample) -> dict[str, np.ndarray]:
    """What is there and what a model says of the pixels of a sample's original image.

    Returns:
        'truth' and 'model', (H, W) labels with -1 for none; nothing for a sample without either.
    """
    if 'pred_sem_seg' in sample and 'gt_sem_seg' in sample:
        return {title: sample.get(key).sem_seg[0].cpu().numpy()
                for title, key in (('truth', 'gt_sem_seg'), ('model', 'pred_sem_seg'))}
    if 'gt_segment_map' not in sample or 'labels' not in sample.get('pred_regions', ()):
        return {}
    whose = 'given' if 'given_regions' in sample else 'gt'
    return {'truth': _painted(sample, 'gt', sample.gt_regions.labels),
            'model': _painted(sample, whose, sample.pred_regions.labels)}


def _painted(sample: DetDataSample, whose: str, labels: Tensor) -> np.ndarray:
    """The labels of a sample's segments as a label map (H, W)."""
    ids = sample.get(f'{whose}_segment_map').ids[0].cpu().numpy()
    found = np.full(ids.shape, -1)
    for number, label in zip(sample.get(f'{whose}_regions').ids.tolist(), labels.tolist()):
        found[ids == number] = label
    return found
