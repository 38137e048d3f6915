"""One mask per region, whatever its class.

He et al., "Mask R-CNN", ICCV 2017, without its convolutions, as RegionCLIP's LVIS detectors have
it. R regions, C channels, S cells per side of a region's map.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.structures.mask import BitmapMasks
from torch import Tensor, nn
from torchvision.ops import roi_align

from glipkit.registry import MODELS

_PIXELS_AT_ONCE = 1 << 26


@MODELS.register_module()
class ClipMaskHead(nn.Module):
    """A twofold deconvolution and a 1 x 1 convolution on the map of the tower's last stage.

    Args:
        in_channels: Channels C of the map: 2048 for RN50, 2560 for RN50x4.
        channels: Channels in between: 256 for RN50, 320 for RN50x4.
    """

    def __init__(self, in_channels: int = 2048, channels: int = 256) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.predictor = nn.Conv2d(channels, 1, 1)
        nn.init.kaiming_normal_(self.deconv.weight, mode='fan_out', nonlinearity='relu')
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.deconv.bias)
        nn.init.zeros_(self.predictor.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (R, C, S, S) -> logits (R, 2S, 2S)."""
        return self.predictor(F.relu(self.deconv(maps)))[:, 0]

    def loss(self, logits: Tensor, boxes: Sequence[Tensor], matched: Sequence[Tensor],
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
