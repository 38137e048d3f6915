"""Images without labels, perhaps with boxes that a detector has found on them."""
from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import read_images, whole_number
from glipkit.data.formats.reading import as_box, clip_box, read_json, summary
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS

_IMAGES = "a COCO or LVIS json with the list 'images'"
_BOXES = "detections in COCO's results format, or a COCO json with 'annotations'"


@DATASETS.register_module()
class ImageProposals(GroundingDataset):
    """The images of a COCO or LVIS json, and nothing else of it.

    Boxes come from a second file, as ``proposals`` of the samples: what a detector writes
    (``outfile_prefix`` of a test, `Detections.to_coco`), or annotations. Their labels are not
    looked at. Without that file images have no boxes. Files with captions and boxes, as
    ``glipkit pseudo-label`` writes them, are read by `CaptionShards`.

    Args:
        ann_file: The json, whose list 'images' is read.
        proposals: File of the boxes, relative to ``data_root`` or absolute; None for none.
        score_thr: Detections must score more than this; boxes without a score count.
        max_proposals: Best ones of an image that are kept; None keeps all.
        **kwargs: As in `GroundingDataset`.

    Raises:
        UserError: A file is missing, or a record of it cannot be understood.
    """

    def __init__(self, ann_file: str, proposals: str | None = None, score_thr: float = 0.,
                 max_proposals: int | None = None, **kwargs: Any) -> None:
        self.proposals = proposals and os.path.join(kwargs.get('data_root') or '', proposals)
        self.score_thr, self.max_proposals = score_thr, max_proposals
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One sample per image."""
        content = read_json(self.ann_file, _IMAGES)
        records = content.get('images') if isinstance(content, dict) else None
        if not isinstance(records, list):
            raise UserError(_IMAGES, f'{self.ann_file} without it', 'check the path (ann_file)')
        images, dropped = read_images(self.ann_file, records), Counter()
        boxes = {} if self.proposals is None else self._read_boxes(images, dropped)
        samples = []
        for image_id, image in images.items():
            sizes = {keys.HEIGHT: image['height'], keys.WIDTH: image['width']}
            sample = {keys.IMG_ID: image_id, keys.INSTANCES: [],
                      keys.IMG_PATH: self.image_path(image['file_name']),
                      **{key: side for key, side in sizes.items() if side is not None}}
            if self.proposals is not None:
                sample[keys.PROPOSALS] = boxes.get(image_id, [])
            samples.append(sample)
        counts = {'images': len(samples), 'proposals': sum(map(len, boxes.values()))}
        print_log(summary(self.ann_file, counts, dropped), 'current')
        return samples

    def draw_sample(self, idx: int) -> dict:
        """The sample, its boxes as transforms take them."""
        sample = self.get_data_info(idx)
        if keys.PROPOSALS in sample:
            boxes = torch.tensor(sample[keys.PROPOSALS], dtype=torch.float32).reshape(-1, 4)
            sample[keys.PROPOSALS] = HorizontalBoxes(boxes)
        return sample

    def _read_boxes(self, images: dict[int, dict], dropped: Counter) -> dict[int, list]:
        """Image id -> its boxes [x1, y1, x2, y2], best first."""
        path = Path(self.proposals)
        content = read_json(path, _BOXES)
        records = content.get('annotations') if isinstance(content, dict) else content
        if not isinstance(records, list):
            raise UserError(_BOXES, str(path), 'check the path (proposals)')
        found: dict[int, list[tuple[float, list[float]]]] = {}
        for i, record in enumerate(records):
            where = f'{path}: [{i}]'
            image_id = whole_number(record, 'image_id', where)
            x, y, w, h = as_box(record.get('bbox'), where, 'x, y, width, height')
            score = record.get('score', 1.)
            if isinstance(score, bool) or not isinstance(score, (int, float)):
                raise UserError('scores as numbers', f'{where}: {score!r}'[:120], 'correct it')
            image = images.get(image_id)
            if image is None:
                dropped['boxes of images that are not listed'] += 1
            elif 'score' in record and not score > self.score_thr:
                dropped[f'boxes that score at most {self.score_thr}'] += 1
            elif (box := clip_box([x, y, x + w, y + h], image['width'], image['height'])) is None:
                dropped['degenerate boxes'] += 1
            else:
                found.setdefault(image_id, []).append((score, box))
        return {image_id: [box for _, box in sorted(own, key=lambda one: -one[0])
                           [:self.max_proposals]] for image_id, own in found.items()}
