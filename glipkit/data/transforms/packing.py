"""The last step of every pipeline: from a results dict to the input of the model."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import BaseBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.registry import TRANSFORMS
from glipkit.text.query import Query

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
             'flip_direction', 'ask', 'things')


@TRANSFORMS.register_module()
class PackGrounding(BaseTransform):
    """Packs image, boxes and text.

    Result: ``inputs``, (3, H, W) uint8 tensor in the channel order of the image, and
    ``data_samples``, a ``DetDataSample`` whose metainfo holds the text and whose ``gt_instances``
    (and ``ignored_instances``, by ``gt_ignore_flags``) hold

    * ``bboxes`` (N, 4) float32, xyxy absolute pixels with exclusive right and bottom edge, in the
      frame of ``gt_bboxes``;
    * ``labels`` (N,) int64, indices into the class names or the phrases;
    * where masks were loaded, ``masks`` in mmdet's class, in the same frame;
    * for captions ``tokens_positive``, the list of the [start, end) spans of each box's phrase.

    Without any ``gt_bboxes`` the instances exist and are empty. With ``proposals`` the sample has
    ``proposals`` as well, an ``InstanceData`` with ``bboxes`` in the same frame, and with ``crops``
    (N, 3, S, S) uint8 where pictures of them were cut. ``elements`` are put in as they are.

    Args:
        meta_keys: Keys of the results dict for the metainfo, where present.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict[str, Any]:
        """Packs one sample."""
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        boxes = _tensor(results.get('gt_bboxes'))
        labels = torch.as_tensor(
            results.get('gt_bboxes_labels', np.zeros(len(boxes))), dtype=torch.int64)
        ignored = np.asarray(results.get('gt_ignore_flags', np.zeros(len(boxes))), dtype=bool)
        asked = 'query' in results or 'text' in results
        query = Query.of_sample(results) if asked else Query()
        phrases = query.phrases if query.is_caption else None

        kept = {key: results[key] for key in self.meta_keys if key in results}
        sample = DetDataSample(metainfo={**kept, **(query.as_fields() if asked else {})})
        masks = results.get('gt_masks')
        sample.gt_instances = _instances(boxes, labels, ~ignored, phrases, masks)
        sample.ignored_instances = _instances(boxes, labels, ignored, phrases, masks)
        if results.get('proposals') is not None:
            sample.proposals = InstanceData(bboxes=_tensor(results['proposals']))
            if 'crops' in results:
                sample.proposals.crops = torch.from_numpy(results['crops'])
        for name, element in results.get('elements', {}).items():
            setattr(sample, name, element)
        return dict(inputs=torch.from_numpy(image), data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'


def _tensor(boxes: BaseBoxes | np.ndarray | None) -> Tensor:
    """(N, 4) float32."""
    if boxes is None:
        return torch.zeros(0, 4)
    boxes = boxes.tensor if isinstance(boxes, BaseBoxes) else torch.as_tensor(boxes)
    return boxes.to(torch.float32).reshape(-1, 4)


def _instances(boxes: Tensor, labels: Tensor, mask: np.ndarray, phrases: Sequence | None,
               outlines: BitmapMasks | PolygonMasks | None) -> InstanceData:
    chosen = torch.from_numpy(mask)
    instances = InstanceData(bboxes=boxes[chosen], labels=labels[chosen])
    if outlines is not None:
        instances.masks = outlines[np.flatnonzero(mask)]
    if phrases is not None:
        instances.tokens_positive = [
            [list(span) for span in phrases[label]] for label in instances.labels.tolist()
        ]
    return instances
