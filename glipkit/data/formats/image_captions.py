"""Image-text pairs for contrast: an image and one of its captions, without boxes."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes

from glipkit.data import sample_keys as keys
from glipkit.data.formats.caption_rows import WHAT, CaptionRows, open_caption_rows
from glipkit.data.formats.captioned import read_captions
from glipkit.data.formats.reading import as_box, as_size
from glipkit.data.formats.records import RecordDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS
from glipkit.text.templates import fill, find_templates


@DATASETS.register_module()
class ImageCaptions(RecordDataset):
    """Images with captions, of which every access draws one.

    A record is a JSON object with ``captions`` (a list) or ``caption``, and perhaps ``tags`` (one
    string of words), ``proposals`` ([x1, y1, x2, y2] in the original image), ``height`` and
    ``width``; lines of ODVG grounding do as well. It stands in a line of a jsonl, whose
    ``filename`` is the image; beside the image in a WebDataset tar; or in the second column of a
    tsv, whose image table is ``img_file``. A second column that is no JSON is the caption.

    In training one caption is drawn with numpy's global generator, which `MixedDataset` seeds per
    draw, so that a resumed training draws the same. A record with tags gives them in every second
    draw: its words in random order, in a random template. In test mode the first caption is taken,
    or the tags. Images without any text are left out of a training.

    Args:
        ann_file: A folder of shards, its manifest, or one shard (see `CaptionShards`); a ``.tsv``,
            or a ``.txt`` that names some, one per line.
        img_file: Tables of images of a tsv, likewise, relative to ``data_root`` or absolute.
        max_captions: Captions of an image that are used, from the first; None uses all.
        tag_templates: Name of the templates for tags, see `find_templates`.
        **kwargs: Those of `GroundingDataset`. `RecordDataset` describes when records are read.

    Raises:
        UserError: A file is missing, tables differ in rows, or a record cannot be understood.
    """

    def __init__(self, ann_file: str, img_file: str | None = None,
                 max_captions: int | None = None,
                 tag_templates: str = 'imagenet_and_name', **kwargs: Any) -> None:
        self.img_file = img_file and os.path.join(kwargs.get('data_root') or '', img_file)
        self.max_captions, self.templates = max_captions, find_templates(tag_templates)
        super().__init__(ann_file, **kwargs)

    def open_records(self) -> CaptionRows:
        """Opens the shards or tables."""
        if self.ann_file.endswith(('.tsv', '.txt')) and not self.img_file:
            raise UserError(f'{WHAT} with images', f'{self.ann_file} without img_file',
                            'pass img_file, the table of images')
        return open_caption_rows(self.ann_file, self.img_file)

    def parse(self, row: int, dropped: Counter) -> dict:
        """Sample of one row, with all its captions; ``text`` is the first of them."""
        record, where = self.records.record(row)
        captions = tuple(text for text in read_captions(record, where)[:self.max_captions]
                         if text.strip())
        tags = record.get('tags')
        if tags is not None and not isinstance(tags, str):
            raise UserError(f'{WHAT}: tags as one string of words', f'{where}: {tags!r}'[:120],
                            'join them with blanks')
        sizes = {key: as_size(record.get(key), where, key) for key in (keys.HEIGHT, keys.WIDTH)}
        sample = {
            keys.IMG_ID: row + 1,
            **self.records.image(row, record, self.image_path),
            **{key: side for key, side in sizes.items() if side is not None},
            keys.TEXT: captions[0] if captions else ' '.join((tags or '').split()),
            keys.CAPTIONS: captions,
            keys.INSTANCES: []
        }
        if tags and tags.split():
            sample[keys.TAGS] = tags
        if 'proposals' in record:
            sample[keys.PROPOSALS] = _boxes(record['proposals'], where)
        return sample

    def keeps(self, sample: Mapping) -> bool:
        """As in `GroundingDataset`, with a text."""
        return bool(sample[keys.TEXT]) and super().keeps(sample)

    def draw_sample(self, idx: int) -> dict | None:
        """Sample ``idx`` with one of its texts, which training draws."""
        sample = super().draw_sample(idx)
        if sample is None:
            return None
        if not self.test_mode:
            sample[keys.TEXT] = self._draw_text(sample)
        if keys.PROPOSALS in sample:
            boxes = torch.tensor(sample[keys.PROPOSALS], dtype=torch.float32).reshape(-1, 4)
            sample[keys.PROPOSALS] = HorizontalBoxes(boxes)
        return sample

    def _draw_text(self, sample: Mapping) -> str:
        captions, tags = sample[keys.CAPTIONS], sample.get(keys.TAGS)
        if tags and (not captions or np.random.randint(2)):
            words = ' '.join(np.random.permutation(tags.split()).tolist())
            return fill([self.templates[np.random.randint(len(self.templates))]], words)[0]
        return captions[np.random.randint(len(captions))]


def _boxes(value: Any, where: str) -> list[list[float]]:
    if not isinstance(value, list):
        raise UserError(f'{WHAT}: proposals as a list of boxes', f'{where}: {value!r}'[:120],
                        'write [[x1, y1, x2, y2], ...]')
    return [as_box(box, where, 'x1, y1, x2, y2') for box in value]
