"""Referring expressions as training or test set."""
from __future__ import annotations

import os
from collections import Counter
from typing import Any

from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.expressions import read_expressions
from glipkit.data.formats.grounding_line import group_regions
from glipkit.data.formats.reading import summary
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.registry import DATASETS


@DATASETS.register_module()
class ReferringExpressions(GroundingDataset):
    """RefCOCO, RefCOCO+, RefCOCOg, or any set in their layouts: one sample for each expression.

    The text of a sample is the expression, and it is its only phrase, from the first word to the
    last: a box has one score, for the whole of it. The layouts are those of
    :func:`~glipkit.data.formats.expressions.read_expressions`. Boxes are clipped to the image.

    Args:
        ann_file: The json file.
        instances_file: Where ``ann_file`` is a list of references: the COCO json with their boxes,
            relative to ``data_root`` or absolute.
        split: Where it is one: the split that is read ('val', 'testA', ...); None for all.
        **kwargs: Those of `GroundingDataset`.

    Raises:
        UserError: As ``read_expressions``.
    """

    def __init__(self, ann_file: str, instances_file: str | None = None,
                 split: str | None = None, **kwargs: Any) -> None:
        self.instances_file, self.split = instances_file, split
        super().__init__(ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads the file; see the class for what is kept."""
        instances = self.instances_file and os.path.join(self.data_root or '', self.instances_file)
        dropped: Counter = Counter()
        data_list = []
        for number, one in read_expressions(self.ann_file, instances, self.split).items():
            size = one.image.get('width'), one.image.get('height')
            sides = dict(zip((keys.WIDTH, keys.HEIGHT), size))
            data_list.append({
                keys.IMG_ID: number,
                keys.IMG_PATH: self.image_path(one.image['file_name']),
                **{key: side for key, side in sides.items() if side is not None},
                **group_regions(one.text, [([(0, len(one.text))], [list(one.box)])], size, dropped)
            })
        print_log(summary(self.ann_file, {'expressions': len(data_list)}, dropped), 'current')
        return data_list
