"""Described objects as a test set: each image with the descriptions that it is asked for."""
from __future__ import annotations

import os
from collections import Counter, defaultdict
from typing import Any

from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.descriptions import read_descriptions
from glipkit.data.formats.reading import clip_box, summary
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS
from glipkit.text.prompts import clean_name


@DATASETS.register_module()
class DescribedDetection(GroundingDataset):
    """D3, OmniLabel, or any set in their layouts: images with the texts that they are asked for.

    The text of a sample is the tuple of its descriptions, each asked as it is written, parentheses
    included; labels index it. The layouts are those of
    :func:`~glipkit.data.formats.descriptions.read_descriptions`. Boxes are clipped to the image;
    crowd boxes are flagged ``ignore_flag=1`` in test mode and dropped in training.

    Args:
        ann_file: The json file.
        groups_file: For a COCO json of sentences: json of its groups, relative to ``data_root`` or
            absolute; None asks every image for all sentences.
        at_once: Number of descriptions of one sample at most; an image with more is several
            samples. None: all of an image at once, in as few prompts as the model can. 1: each
            alone, so that no other text changes its scores, at the cost of a pass each.
        **kwargs: Those of `GroundingDataset`.

    Raises:
        UserError: As ``read_descriptions``, or ``at_once`` is below 1.
    """

    def __init__(self, ann_file: str, groups_file: str | None = None,
                 at_once: int | None = None, **kwargs: Any) -> None:
        if at_once is not None and (type(at_once) is not int or at_once < 1):
            raise UserError('at_once of at least 1, or None', repr(at_once), 'correct it')
        self.groups_file, self.at_once = groups_file, at_once
        super().__init__(ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads the file; see the class for what is kept."""
        groups = self.groups_file and os.path.join(self.data_root or '', self.groups_file)
        truth = read_descriptions(self.ann_file, groups)
        boxes: dict[int, list[dict]] = defaultdict(list)
        for record in truth.annotations:
            boxes[record['image_id']].append(record)
        dropped: Counter = Counter()
        data_list = []
        for image_id, image in truth.images.items():
            labels = truth.labels(image_id) if image_id in truth.asked else {}
            texts = list(labels)
            if not texts:
                dropped['images that are asked for nothing'] += 1
            step = self.at_once or max(1, len(texts))
            for start in range(0, len(texts), step):
                chosen = {text: labels[text] for text in texts[start:start + step]}
                data_list.append(self._sample(image, chosen, boxes[image_id], dropped))
        counts = {'images': len(truth.images), 'samples': len(data_list),
                  'descriptions': len(truth.texts)}
        print_log(summary(self.ann_file, counts, dropped), 'current')
        return data_list

    def _sample(self, image: dict, labels: dict[str, list[int]], boxes: list[dict],
                dropped: Counter) -> dict:
        """A sample of one image that is asked for these texts."""
        size = image['width'], image['height']
        instances = []
        for record in boxes:
            x, y, w, h = record['bbox']
            box = clip_box([x, y, x + w, y + h], *size)
            for label, ids in enumerate(labels.values()):
                if not set(ids) & set(record['description_ids']):
                    continue
                if box is None or record['iscrowd'] and not self.test_mode:
                    dropped['crowd or degenerate boxes'] += 1
                    continue
                instances.append(dict(bbox=box, bbox_label=label, ignore_flag=record['iscrowd']))
        # A class name loses what stands in parentheses; a description does not.
        written = {text: dict(name=' '.join(text.split())) for text in labels
                   if clean_name(text) != ' '.join(text.split())}
        sides = {key: side for key, side in zip((keys.WIDTH, keys.HEIGHT), size)
                 if side is not None}
        return {keys.IMG_ID: image['id'], keys.IMG_PATH: self.image_path(image['file_name']),
                **sides, keys.TEXT: tuple(labels), keys.INSTANCES: instances,
                **({keys.CAPTION_PROMPT: written} if written else {})}
