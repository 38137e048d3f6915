"""Gaussian soft-NMS: overlapping boxes lose score instead of being removed.

Bodla et al., "Soft-NMS: Improving Object Detection With One Line of Code", ICCV 2017, as
detectron2 computes it for boxes with labels.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou


def batched_soft_nms(boxes: Tensor, scores: Tensor, labels: Tensor, sigma: float = 0.5,
                     prune: float = 0.001, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Soft-NMS of each label by itself.

    The best box left is taken, and the others of its label are multiplied by
    ``exp(-IoU^2 / sigma)``; what falls to ``prune`` is dropped. detectron2 keeps labels apart by
    moving each by a multiple of the largest coordinate, in float32: with 1203 labels and 1333
    pixels that rounds boxes to an eighth of a pixel. The overlaps here are those of the
    moved boxes, to find the same scores; only boxes of the taken label are looked at.

    Args:
        boxes: (M, 4) xyxy pixels, not negative; M may be 0.
        scores: (M,).
        labels: (M,) int64.
        sigma: Width of the decay.
        prune: Score at or below which a box is dropped, decayed or not; the best one stays.
        limit: Number of boxes to take; None for all. Later ones would score less.

    Returns:
        Indices of the taken boxes, best first, (N,), and their decayed scores, (N,).
    """
    if not len(boxes):
        return labels.new_zeros(0), scores
    moved = boxes + (labels.to(boxes) * (boxes.max() + 1))[:, None]
    order = labels.argsort(stable=True)
    names, counts = labels[order].unique_consecutive(return_counts=True)
    groups = dict(zip(names.tolist(), order.split(counts.tolist())))
    left = scores.clone()
    taken, decayed = [], []
    # As in the official code the best box is taken whatever it scores, and what is left is pruned.
    best = left.argmax()
    left = torch.where((left > prune) | (torch.arange(len(left), device=left.device) == best),
                       left, -torch.inf)
    while limit is None or len(taken) < limit:
        best = int(left.argmax())
        score = left[best].clone()
        if score == -torch.inf:
            break
        taken.append(best)
        decayed.append(score)
        label = int(labels[best])
        left[best] = -torch.inf
        members = groups[label]
        members = members[left[members] > -torch.inf]
        overlap = box_iou(moved[best][None], moved[members])[0]
        after = left[members] * torch.exp(-overlap**2 / sigma)
        left[members] = torch.where(after > prune, after, -torch.inf)
        groups[label] = members
    return torch.tensor(taken, device=boxes.device), torch.stack(decayed)
