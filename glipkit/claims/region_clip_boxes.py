"""Boxes as a proposal network makes them, without one: near things and elsewhere, with a logit.

The RegionCLIP benchmark needs boxes that are imperfect, that miss no thing whether it has a name or
not, and whose logit tells how well they lie and nothing of what they hold.
"""
from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.common.boxes import box_iou
from glipkit.registry import MODELS

#: Logit of a box that overlaps no thing, how much it rises to a box that lies exactly, and noise.
LOWEST, RISE, NOISE = -3., 6., 1.


@MODELS.register_module()
class NoisyBoxes:
    """Boxes around every thing of an annotation file, moved by chance, and boxes anywhere.

    The logit is -3 + 6 times the overlap with the nearest thing, plus noise of deviation 1. An
    image has the same boxes whenever it is asked about.

    Args:
        ann_file: COCO json, or jsonl of grounding lines whose numbers are the images' ids.
        size: Size (width, height) of all its images.
        near: Boxes around each thing.
        anywhere: Boxes of an image that are drawn without looking.
        shift: Deviation of a side's place, in parts of the thing's side.
        seed: Seed of the boxes.
    """

    def __init__(self, ann_file: str, size: tuple[int, int], near: int = 6, anywhere: int = 12,
                 shift: float = 0.12, seed: int = 0) -> None:
        self.ann_file, self.size = ann_file, size
        self.near, self.anywhere, self.shift, self.seed = near, anywhere, shift, seed

    def __call__(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[InstanceData]:
        """Boxes of each image, in its pixels; see :class:`~glipkit.models.proposals.contract
        .BoxSource`."""
        found = []
        for sample in samples:
            boxes, logits = self.draw(sample.img_id)
            scale = sample.img_shape[1] / self.size[0], sample.img_shape[0] / self.size[1]
            boxes = boxes * np.array([*scale, *scale])
            if sample.get('flip'):
                boxes[:, [0, 2]] = sample.img_shape[1] - boxes[:, [2, 0]]
            found.append(InstanceData(bboxes=torch.from_numpy(boxes).to(images),
                                      logits=torch.from_numpy(logits).to(images)))
        return found

    def draw(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) of an image as annotated, xyxy, and their logits (N,)."""
        things = read_things(self.ann_file).get(image_id, np.zeros((0, 4)))
        rng = np.random.default_rng([self.seed, image_id])
        sides = np.tile(things[:, 2:] - things[:, :2], (1, 2))
        near = np.repeat(things, self.near, 0)
        near = near + rng.standard_normal(near.shape) * self.shift * np.repeat(sides, self.near, 0)
        width, height = self.size
        side = rng.uniform(.1, .45, (self.anywhere, 2)) * [width, height]
        corner = rng.uniform(0, 1, (self.anywhere, 2)) * ([width, height] - side)
        boxes = np.concatenate([near, np.concatenate([corner, corner + side], 1)])
        boxes = np.clip(boxes, 0, [width, height, width, height])
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > 2).all(1)]
        overlap = box_iou(boxes, things).max(1) if len(things) else np.zeros(len(boxes))
        return boxes, LOWEST + RISE * overlap + NOISE * rng.standard_normal(len(boxes))


@cache
def read_things(path: str) -> dict[int, np.ndarray]:
    """Image id -> boxes (N, 4) xyxy of all things of a file that a world wrote."""
    text = Path(path).read_text(encoding='utf-8')
    found: dict[int, list] = {}
    if path.endswith('.jsonl'):
        for number, line in enumerate(text.splitlines(), 1):
            for region in json.loads(line)['grounding']['regions']:
                found.setdefault(number, []).extend(np.reshape(region['bbox'], (-1, 4)).tolist())
    else:
        for record in json.loads(text)['annotations']:
            x, y, w, h = record['bbox']
            found.setdefault(record['image_id'], []).append([x, y, x + w, y + h])
    return {image_id: np.array(boxes, float) for image_id, boxes in found.items()}
