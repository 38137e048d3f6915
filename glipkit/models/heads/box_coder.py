"""Box arithmetic of the official code: inclusive pixels, so a box is ``x2 - x1 + 1`` wide."""
from __future__ import annotations

import math

import torch
from torch import Tensor

WEIGHTS = (10., 10., 5., 5.)
MAX_LOG_SIZE = math.log(1000 / 16)


def _centers_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2] + 1


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Deltas (..., 4) that turn ``anchors`` into ``boxes``, both (..., 4) xyxy inclusive pixels."""
    centers, sizes = _centers_sizes(boxes)
    anchor_centers, anchor_sizes = _centers_sizes(anchors)
    deltas = torch.cat([(centers - anchor_centers) / anchor_sizes,
                        (sizes / anchor_sizes).log()], dim=-1)
    return deltas * deltas.new_tensor(WEIGHTS)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Inverse of :func:`encode`; sizes are limited to 62.5 times the anchor's."""
    anchor_centers, anchor_sizes = _centers_sizes(anchors)
    # By numbers, not by a tensor of the weights, whose way to a GPU would make the host wait.
    centers = deltas[..., :2] / WEIGHTS[0] * anchor_sizes + anchor_centers
    half = ((deltas[..., 2:] / WEIGHTS[2]).clamp(max=MAX_LOG_SIZE).exp() * anchor_sizes - 1) / 2
    return torch.cat([centers - half, centers + half], dim=-1)


def centerness(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Centerness (...,) of anchor centres in ``boxes`` (FCOS equation (3)).

    Anchor centres must lie inside their boxes.
    """
    centers, _ = _centers_sizes(anchors)
    near = centers - boxes[..., :2]
    far = boxes[..., 2:] - centers
    ratio = torch.minimum(near, far) / torch.maximum(near, far)
    return ratio.prod(dim=-1).sqrt()
