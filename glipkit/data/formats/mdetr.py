"""Json files of MDETR's kind: captions as images, boxes with character spans."""
from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import read_images, whole_number
from glipkit.data.formats.grounding_line import group_regions
from glipkit.data.formats.phrase_spans import checked_spans
from glipkit.data.formats.reading import as_box, as_crowd, read_json, summary
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS

Region = tuple[list[tuple[int, int]], list[list[float]]]


@DATASETS.register_module()
class MdetrGrounding(GroundingDataset):
    """Mixed grounding json (GoldG without Flickr30k): images with a caption, boxes with spans.

    ``images`` have ``id``, ``file_name``, ``height``, ``width``, ``caption`` and perhaps
    ``data_source``; ``annotations`` have ``image_id``, ``bbox`` [x, y, w, h] and
    ``tokens_positive`` [[start, end), ...] in the caption. Every image is a sample, so that one
    picture with several captions is several samples. Boxes with the same spans are one phrase.
    Boxes are clipped to the image, and dropped where a side of at most one pixel is left; crowd
    boxes are dropped.

    Args:
        ann_file: The json file.
        source_prefix: ``data_source`` -> folder inside ``data_prefix['img']``, as
            ``dict(vg='gqa/images', coco='coco/train2014')``. None: one folder for all.
        **kwargs: Those of `GroundingDataset`.

    Raises:
        UserError: Not such a file, or a record that cannot be understood; names the record.
    """

    _what = 'a mixed grounding json'

    def __init__(self, ann_file: str, source_prefix: Mapping[str, str] | None = None,
                 **kwargs: Any) -> None:
        self.source_prefix = None if source_prefix is None else dict(source_prefix)
        super().__init__(ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads the file; see the class for what is kept."""
        content = read_json(self.ann_file, self._what)
        content = content if isinstance(content, dict) else {}
        missing = [k for k in ('images', 'annotations') if not isinstance(content.get(k), list)]
        if missing:
            raise UserError(f"{self._what} with the lists 'images' and 'annotations'",
                            f'{self.ann_file} without {", ".join(missing)}',
                            'check that this is the right file')
        images = read_images(self.ann_file, content['images'])
        dropped: Counter = Counter()
        regions = self._regions(content['annotations'], images, dropped)
        data_list = [self._sample(image, regions[image_id], dropped)
                     for image_id, image in images.items()]
        if self.test_mode:  # there is nothing to ask for, and nothing to score
            asked = [sample for sample in data_list if sample[keys.PHRASES]]
            dropped['captions without a phrase'] += len(data_list) - len(asked)
            data_list = asked
        counts = {'captions': len(data_list),
                  'boxes': sum(len(sample[keys.INSTANCES]) for sample in data_list)}
        print_log(summary(self.ann_file, counts, dropped), 'current')
        return data_list

    def _regions(self, records: list, images: Mapping[int, dict],
                 dropped: Counter) -> dict[int, list[Region]]:
        """Image id -> spans and box of each of its annotations."""
        regions: dict[int, list[Region]] = defaultdict(list)
        for i, record in enumerate(records):
            where = f'{self.ann_file}: annotations[{i}]'
            image_id = whole_number(record, 'image_id', where)
            if image_id not in images:
                dropped['boxes of images that are not listed'] += 1
                continue
            if as_crowd(record.get('iscrowd'), where):
                dropped['crowd boxes'] += 1
                continue
            x, y, w, h = as_box(record.get('bbox'), where, 'x, y, width, height')
            caption = self._caption(images[image_id])
            spans = checked_spans(caption, record.get('tokens_positive'), where)
            regions[image_id].append((spans, [[x, y, x + w, y + h]]))
        return regions

    def _caption(self, image: Mapping) -> str:
        caption = image.get('caption')
        if not isinstance(caption, str):
            raise UserError(f'{self._what}: images with a caption',
                            f'{self.ann_file}: image {image["id"]}: {caption!r}', 'add the caption')
        return caption

    def _sample(self, image: Mapping, regions: list[Region], dropped: Counter) -> dict:
        sizes = {keys.HEIGHT: image['height'], keys.WIDTH: image['width']}
        return {
            keys.IMG_ID: image['id'],
            keys.IMG_PATH: self.image_path(self._file(image)),
            **{key: side for key, side in sizes.items() if side is not None},
            **group_regions(self._caption(image), self._phrases(image, regions),
                            (image['width'], image['height']), dropped)
        }

    def _phrases(self, image: Mapping, regions: list[Region]) -> Iterable[Region]:
        """Spans and boxes of an image, as the sample has them."""
        return regions

    def _file(self, image: Mapping) -> str:
        """Name of an image file with the folder of its source."""
        if self.source_prefix is None:
            return image['file_name']
        source = image.get('data_source')
        if not isinstance(source, str) or source not in self.source_prefix:
            raise UserError(f'images with a data_source among {sorted(self.source_prefix)}',
                            f'{self.ann_file}: image {image["id"]}: {source!r}',
                            'add the folder of this source to source_prefix')
        return os.path.join(self.source_prefix[source], image['file_name'])


@DATASETS.register_module()
class FlickrGrounding(MdetrGrounding):
    """Flickr30k Entities as MDETR's separateGT json: one record per picture and sentence.

    As `MdetrGrounding`; sizes may be strings. In test mode phrases are those of
    ``tokens_positive_eval``, in its order, each with the boxes that share a span with it: what
    the recall of phrases is counted over.

    Args: those of `MdetrGrounding`.
    """

    _what = 'a Flickr30k separateGT json'

    def _phrases(self, image: Mapping, regions: list[Region]) -> Iterable[Region]:
        if not self.test_mode:
            return regions
        where = f'{self.ann_file}: image {image["id"]}: tokens_positive_eval'
        phrases = image.get('tokens_positive_eval')
        if not isinstance(phrases, list):
            raise UserError(f'{self._what} with tokens_positive_eval for a test set',
                            f'{where}: {phrases!r}', 'check that this is the right file')
        wanted = [checked_spans(self._caption(image), spans, where) for spans in phrases]
        return [(spans, [box for shared, boxes in regions for box in boxes
                         if set(shared) & set(spans)]) for spans in wanted]
