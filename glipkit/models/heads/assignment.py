"""Assignment of anchors to boxes (ATSS, Zhang et al., CVPR 2020, algorithm 1)."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from mmdet.models.task_modules.assigners import ATSSAssigner
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.models.heads.box_coder import centerness


@dataclass
class AnchorTargets:
    """Targets of one image. N anchors over all levels, P positives, T tokens.

    Attributes:
        positive: (P,) anchor indices.
        boxes: (P, 4) matched boxes, xyxy inclusive pixels.
        centerness: (P,) centerness of the anchors in their boxes.
        tokens: (P, T) 0/1 rows of the matched boxes.
    """
    positive: Tensor
    boxes: Tensor
    centerness: Tensor
    tokens: Tensor


def assign_targets(assigner: ATSSAssigner, anchors: Tensor, num_level_anchors: list[int],
                   boxes: Tensor, box_tokens: Tensor) -> AnchorTargets:
    """Match the anchors of one image.

    Boxes whose spans lie beyond the last token have no tokens; they are left out, so that no anchor
    is trained as a box without a name.

    Args:
        assigner: mmdet's ATSS with inclusive-pixel overlaps.
        anchors: Anchors (N, 4), xyxy inclusive pixels, levels concatenated.
        num_level_anchors: Anchors of each level.
        boxes: Ground truth (G, 4), xyxy inclusive pixels; G may be 0.
        box_tokens: Tokens (G, T) of each box, bool.
    """
    named = box_tokens.any(dim=1)
    boxes, box_tokens = boxes[named].to(anchors), box_tokens[named]
    result = assigner.assign(
        InstanceData(priors=anchors), num_level_anchors,
        InstanceData(bboxes=boxes, labels=boxes.new_zeros(len(boxes), dtype=torch.long)))
    positive = (result.gt_inds > 0).nonzero().flatten()
    matched = result.gt_inds[positive] - 1
    return AnchorTargets(positive, boxes[matched], centerness(anchors[positive], boxes[matched]),
                         box_tokens[matched].to(anchors.dtype))
