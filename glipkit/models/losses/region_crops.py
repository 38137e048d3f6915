"""The loss between regions of a map and pictures of the same places (CLIPSelf, equation (1))."""
from __future__ import annotations

import torch.nn.functional as F
from mmdet.utils import reduce_mean
from torch import Tensor


def crop_distillation(regions: Tensor, crops: Tensor) -> Tensor:
    """One minus the mean cosine of regions and their crops.

    The mean is over the regions of all processes: the sum of this one is divided by their average
    number, as gradients are averaged afterwards. What two processes learn is what one with all
    images would, also where images differ in their number of regions.

    Args:
        regions: (R, D) features of the student, of any length.
        crops: (R, D) features of the teacher, without gradient.

    Returns:
        The loss, a scalar in float32; 0 without regions.
    """
    cosines = F.cosine_similarity(regions.float(), crops.float(), dim=1)
    count = reduce_mean(cosines.new_tensor(float(len(cosines))))
    return (1 - cosines).sum() / count.clamp(min=1e-3)
