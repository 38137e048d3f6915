"""How a region is moved to the box of its thing, whatever its class; the loss of such a move."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torch import Tensor

from glipkit.models.roi_heads.sampling import SampledRegions

_CODER = DeltaXYWHBBoxCoder(target_stds=(0.1, 0.1, 0.2, 0.2))


def move(boxes: Tensor, deltas: Tensor) -> Tensor:
    """Boxes (R, 4) moved by what a head says of them, (R, 4)."""
    return _CODER.decode(boxes, deltas.float())


def box_loss(regions: Sequence[SampledRegions], deltas: Tensor) -> Tensor:
    """L1 of the regions with a thing, over the number of all regions; 0 without any.

    Args:
        regions: Regions of each image, R in all.
        deltas: What a head says of them, (R, 4).
    """
    labels = torch.cat([one.labels for one in regions])
    priors = torch.cat([one.boxes[:len(one.targets)] for one in regions])
    targets = _CODER.encode(priors, torch.cat([one.targets for one in regions]))
    return (deltas.float()[labels >= 0] - targets).abs().sum() / max(len(labels), 1)
