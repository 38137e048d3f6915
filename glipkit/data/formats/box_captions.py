"""The boxes of a COCO json as pictures with captions: what a small CLIP learns words from."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import box_in_image, read_coco_json
from glipkit.data.formats.reading import summary
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS


@DATASETS.register_module()
class BoxCaptions(GroundingDataset):
    """One sample per box: its image, the place to cut out, and a caption made of the class name.

    `CropToBox` cuts the box out. Crowd boxes are left out, and so are those of which nothing is in
    the image. The caption is drawn at access with numpy's global generator, in test mode the
    first template is taken.

    Args:
        ann_file: COCO json.
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
        coco = read_coco_json(self.ann_file)
        names = {i: spoken(name, self.leave_out) for i, name in coco.classes.items()}
        samples = []
        for record in coco.annotations:
            image = coco.images[record['image_id']]
            box = box_in_image(record, image)
            if box is not None and not record.get('iscrowd'):
                samples.append({
                    keys.IMG_ID: len(samples), keys.INSTANCES: [], keys.CROP_BOX: box,
                    keys.IMG_PATH: self.image_path(image['file_name']),
                    'name': names[record['category_id']]})
        print_log(summary(self.ann_file, {'boxes': len(samples),
                                          'names': len(set(names.values()))}, {}), 'current')
        return samples

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
