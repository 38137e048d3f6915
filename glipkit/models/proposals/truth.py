"""Boxes of the annotations, to measure recognition alone."""
from __future__ import annotations

from collections.abc import Sequence

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.errors import UserError
from glipkit.models.proposals.contract import plain_boxes
from glipkit.registry import MODELS


@MODELS.register_module()
class TruthBoxes:
    """The ground-truth boxes, without logits (RegionCLIP's ``CROP_REGION_TYPE`` GT)."""

    def __call__(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[InstanceData]:
        """``gt_instances.bboxes`` of each sample; see :class:`~.contract.BoxSource`."""
        for sample in samples:
            if 'gt_instances' not in sample:
                raise UserError('annotated images, whose boxes TruthBoxes takes',
                                f'{sample.get("img_path") or "an image"} without annotations',
                                'add mmdet.LoadAnnotations to the test pipeline, or set another '
                                'box_source')
        return [InstanceData(bboxes=plain_boxes(sample.gt_instances)) for sample in samples]
