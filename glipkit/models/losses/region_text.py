"""Losses between regions and the concepts that a teacher gives them (RegionCLIP, section 3.2).

R kept regions of all images of this process, N concepts of the pool. Both losses take logits, that
is cosines divided by the temperature, and stay in log space: where the official code takes the
logarithm of a probability that has become 0, these are finite; elsewhere they are equal.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def region_text_contrast(logits: Tensor, concepts: Tensor) -> Tensor:
    """Contrast of regions with the concepts of all kept regions (equation (3)).

    Region i is compared with the concept of every kept region j, so that a concept that was given
    to m regions counts m times. All that have the concept of i are its positives, and their
    probabilities are summed:

        mean over i of -log(sum over j with c(j) = c(i) of exp z(i, c(j))
                            / sum over all j of exp z(i, c(j)))

    One direction only, and nothing is gathered from other processes, as in the official code.
    With n(c) regions of concept c this is the cross-entropy of ``z(i, c) + log n(c)``: concepts
    that no region has drop out, and no (R, R) matrix is made.

    Args:
        logits: (R, N) logits of regions and the whole pool.
        concepts: (R,) int64 index of the concept of each region.

    Returns:
        The loss, a scalar in float32; 0 without regions.
    """
    if not len(logits):
        return logits.float().sum()
    logits = logits.float()
    counts = torch.bincount(concepts, minlength=logits.shape[1])
    return F.cross_entropy(logits + counts.to(logits.dtype).log(), concepts)


def region_distillation(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Divergence KL(teacher || student) over the whole pool, mean over regions (equation (4)).

    Args:
        logits: (R, N) logits of the student.
        teacher_logits: (R, N) logits of the teacher, without gradient.

    Returns:
        The loss, a scalar in float32; 0 without regions.
    """
    if not len(logits):
        return logits.float().sum()
    return F.kl_div(logits.float().log_softmax(1), teacher_logits.float().log_softmax(1),
                    reduction='batchmean', log_target=True)
