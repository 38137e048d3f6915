"""Boxes as pictures with captions: what a small CLIP learns words from."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import box_in_image, read_coco_json
from glipkit.data.formats.grounding_line import parse_grounding
from glipkit.data.formats.reading import as_size, summary
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.data.line_index import JsonLines
from glipkit.errors import UserError
from glipkit.registry import DATASETS

_WHAT = 'a jsonl of grounding lines'


@DATASETS.register_module()
class BoxCaptions(GroundingDataset):
    """One sample per box: its image, the place to cut out, and a caption made of the class name.

    `CropToBox` cuts the box out. Of a COCO json the name is the class name; crowd boxes are left
    out, and so are those of which nothing is in the image. Of ODVG grounding lines (``.jsonl``) it
    is the phrase of the box; phrases of several boxes are left out. The caption is drawn at access
    with numpy's global generator, in test mode the first template is taken.

    Args:
        ann_file: COCO json, or jsonl of grounding lines.
        templates: Captions, with a pair of braces for the name.
        leave_out: Words of the names that captions do not have, such as 'large': a picture of one
            thing has no scale.
        **kwargs: As in `GroundingDataset`.

    Raises:
        UserError: No template, or one without braces.
    """

    def __init__(self, ann_file: str, templates: Sequence[str] = ('a {}', ),
                 leave_out: Sequence[str] = (), **kwargs: Any) -> None:
        if not templates or isinstance(templates, str) or any(t.count('{}') != 1
                                                              for t in templates):
            raise UserError('templates such as ["a {}"], each with one pair of braces',
                            repr(templates), 'correct them')
        self.templates, self.leave_out = tuple(templates), frozenset(leave_out)
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One sample for each box of the file."""
        dropped: Counter = Counter()
        named = self._of_lines(dropped) if self.ann_file.endswith('.jsonl') else self._of_coco()
        samples = [{keys.IMG_ID: number, keys.INSTANCES: [], keys.CROP_BOX: box,
                    keys.IMG_PATH: self.image_path(file_name),
                    'name': spoken(name, self.leave_out)}
                   for number, (file_name, box, name) in enumerate(named)]
        counts = {'boxes': len(samples), 'names': len({sample['name'] for sample in samples})}
        print_log(summary(self.ann_file, counts, dropped), 'current')
        return samples

    def _of_coco(self) -> Iterator[tuple[str, list[float], str]]:
        """Image file, box and class name of every box."""
        coco = read_coco_json(self.ann_file)
        for record in coco.examples():
            image = coco.images[record['image_id']]
            yield (image['file_name'], box_in_image(record, image),
                   coco.classes[record['category_id']])

    def _of_lines(self, dropped: Counter) -> Iterator[tuple[str, list[float], str]]:
        """Image file, box and phrase of every phrase of one box; others name several things."""
        for number, line in enumerate(JsonLines(self.ann_file, _WHAT), 1):
            where = f'{self.ann_file}:{number}'
            if not isinstance(line.get('filename'), str) or not isinstance(line.get('grounding'),
                                                                           dict):
                raise UserError(f"{_WHAT}: 'filename' and 'grounding' per line", where,
                                'add what is missing')
            size = tuple(as_size(line.get(side), where, side) for side in (keys.WIDTH, keys.HEIGHT))
            found = parse_grounding(line['grounding'], _WHAT, size, where, dropped)
            boxes: dict[int, list[list[float]]] = {}
            for instance in found[keys.INSTANCES]:
                boxes.setdefault(instance['bbox_label'], []).append(instance['bbox'])
            for label, places in boxes.items():
                begin, end = found[keys.PHRASES][label][0]
                if len(places) == 1:
                    yield line['filename'], places[0], found[keys.TEXT][begin:end]
                else:
                    dropped['phrases of several boxes'] += 1

    def draw_sample(self, idx: int) -> dict:
        """The sample with its caption."""
        sample = dict(self.get_data_info(idx))
        template = self.templates[0]
        if not self.test_mode and len(self.templates) > 1:
            template = self.templates[np.random.randint(len(self.templates))]
        sample[keys.TEXT] = template.format(sample.pop('name'))
        return sample

    def keeps(self, sample: Mapping) -> bool:
        """Whether training uses a sample: all are, as each is a box."""
        return True


def spoken(name: str, leave_out: frozenset[str] | set[str]) -> str:
    """A class name without some of its words.

    >>> spoken('large red circle', {'small', 'large'})
    'red circle'
    """
    return ' '.join(word for word in name.split() if word not in leave_out)
