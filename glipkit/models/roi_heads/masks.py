"""Masks of regions: what annotated ones look like inside boxes, their loss, and the way back.

He et al., "Mask R-CNN", ICCV 2017. R regions of a batch, M cells per side of a region's mask.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.structures.mask import BitmapMasks
from torch import Tensor
from torchvision.ops import roi_align

_PIXELS_AT_ONCE = 1 << 26


def mask_loss(logits: Tensor, boxes: Sequence[Tensor], matched: Sequence[Tensor],
              masks: Sequence) -> Tensor:
    """Binary cross-entropy, mean over all pixels of all regions; 0 without regions.

    Args:
        logits: (R, M, M) of the regions that hold a thing, image by image.
        boxes: Per image their boxes (R_i, 4).
        matched: Per image the annotation of each, (R_i,) int64.
        masks: Per image its masks, in one of mmdet's classes.
    """
    if not len(logits):
        return logits.sum() * 0
    targets = torch.cat([mask_targets(*one, logits.shape[-1])
                         for one in zip(masks, matched, boxes)])
    return F.binary_cross_entropy_with_logits(logits.float(), targets.to(logits.device))


def mask_targets(masks: Any, matched: Tensor, boxes: Tensor, side: int) -> Tensor:
    """What annotated masks look like inside boxes.

    Args:
        masks: Masks of an image, in one of mmdet's classes.
        matched: (P,) int64, the mask of each box.
        boxes: (P, 4) xyxy pixels.
        side: Cells M per side of the result.

    Returns:
        (P, M, M) of 0 and 1, float32.
    """
    if not len(boxes):
        return boxes.new_zeros(0, side, side)
    if isinstance(masks, BitmapMasks):
        pixels = torch.from_numpy(masks.masks).to(boxes)[:, None]
        rois = torch.cat([matched[:, None].to(boxes), boxes], dim=1)
        return (roi_align(pixels, rois, side, aligned=True)[:, 0] >= 0.5).float()
    cut = masks.crop_and_resize(boxes.cpu().numpy(), (side, side), matched.cpu().numpy())
    return torch.from_numpy(cut.to_ndarray()).to(boxes)


def paste_masks(logits: Tensor, boxes: Tensor, size: tuple[int, int],
                threshold: float = 0.5) -> Tensor:
    """Masks of boxes as masks of the image.

    Args:
        logits: (N, M, M).
        boxes: (N, 4) in the image.
        size: Size (H, W) of the image.
        threshold: Probability from which a pixel belongs to the thing.

    Returns:
        (N, H, W) bool.
    """
    height, width = size
    pasted = [torch.zeros(0, height, width, dtype=torch.bool, device=boxes.device)]
    at_once = max(1, _PIXELS_AT_ONCE // (height * width))
    for part, where in zip(logits.sigmoid()[:, None].split(at_once), boxes.split(at_once)):
        if len(where):
            pasted.append(_do_paste_mask(part, where, height, width, skip_empty=False)[0]
                          >= threshold)
    return torch.cat(pasted)
