"""F-ViT's head of regions: their maps, box head, mask head and losses.

Wu et al., "CLIPSelf", ICLR 2024, F-ViT. R regions of a batch, R_i of an image, K labels.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import bbox2roi
from torch import Tensor, nn
from torchvision.ops import roi_align

from glipkit.errors import UserError
from glipkit.models.backbones.towers import gathered
from glipkit.models.roi_heads.box_deltas import box_loss
from glipkit.models.roi_heads.masks import mask_loss
from glipkit.models.roi_heads.sampling import RegionSampler, SampledRegions
from glipkit.registry import MODELS

Maps = Sequence[Tensor]


@MODELS.register_module()
class FVitRoIHead(nn.Module):
    """Everything that F-ViT does with regions, but for the words.

    Args:
        bbox_head: Config of :class:`~.text_box_head.TextBoxHead`.
        bbox_roi_extractor: Config of mmdet's extractor of region maps.
        mask_head: Config of mmdet's FCNMaskHead, the same for all classes; None for boxes only.
        mask_roi_extractor: Config of the extractor for it.
        loss_cls: Config of the classification loss, see
            :mod:`glipkit.models.losses.region_classes`.
        sampler: Arguments of :class:`~.sampling.RegionSampler`.

    Attributes:
        sample: Draws regions that train.
    """

    #: See :mod:`glipkit.models.kernels.forms`.
    traceable = False

    def __init__(self, bbox_head: dict, bbox_roi_extractor: dict, mask_head: dict | None = None,
                 mask_roi_extractor: dict | None = None, loss_cls: dict | None = None,
                 sampler: dict | None = None) -> None:
        super().__init__()
        if (mask_head is None) != (mask_roi_extractor is None):
            raise UserError('mask_head and mask_roi_extractor, or neither', 'one of them',
                            'add the other one')
        self.bbox_head = MODELS.build(bbox_head)
        self.bbox_roi_extractor = MODELS.build(bbox_roi_extractor)
        self.mask_head = None if mask_head is None else MODELS.build(mask_head)
        if self.mask_head is not None:
            self.mask_roi_extractor = MODELS.build(mask_roi_extractor)
        self.loss_cls = MODELS.build(
            loss_cls or dict(type='glipkit.FocalScaledClassLoss', background_weight=0.6, gamma=0.))
        self.sample = RegionSampler(**(sampler or {}))

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """``alignment``: up to the embeddings; ``boxes``: box layers and the mask head."""
        head = self.bbox_head
        words = gathered(shared_convs=head.shared_convs, shared_fcs=head.shared_fcs,
                         cls_fcs=head.cls_fcs, detect_temperature=head.detect_temperature)
        boxes = gathered(reg_fcs=head.reg_fcs, fc_reg=head.fc_reg)
        masks = [self.mask_head] if self.mask_head is not None else []
        return dict(alignment=[words], boxes=[boxes, *masks])

    def forward(self, maps: Maps, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings (R, D) and box deltas (R, 4) of boxes.

        Args:
            maps: Levels (B, C, h, w) of the pyramid.
            boxes: Per image (R_i, 4), pixels of the image.
        """
        extract = _extract_from_all if self.traceable else _extract
        return self.bbox_head(extract(self.bbox_roi_extractor, maps, boxes))

    def mask_logits(self, maps: Maps, boxes: Sequence[Tensor]) -> Tensor:
        """Logits (R, M, M) of the masks of boxes; arguments as of :meth:`forward`."""
        return self.mask_head(_extract(self.mask_roi_extractor, maps, boxes))[:, 0]

    def losses(self, maps: Maps, regions: Sequence[SampledRegions], logits: Tensor,
               deltas: Tensor, masks: Sequence) -> dict[str, Tensor]:
        """Losses loss_cls, loss_bbox and, with a mask head, loss_mask.

        Args:
            maps: Levels of the pyramid.
            regions: Regions of each image.
            logits: (R, K + 1), background last; -inf for a class that is no negative.
            deltas: (R, 4).
            masks: Per image the masks of its annotations; not looked at without a mask head.
        """
        labels = torch.cat([one.labels for one in regions])
        background = logits.shape[1] - 1
        found = dict(loss_cls=self.loss_cls(logits, labels.where(labels >= 0, background)),
                     loss_bbox=box_loss(regions, deltas))
        if self.mask_head is not None:
            boxes = [one.boxes[:len(one.matched)] for one in regions]
            found['loss_mask'] = mask_loss(self.mask_logits(maps, boxes), boxes,
                                           [one.matched for one in regions], masks)
        return found


def _extract(extractor: nn.Module, maps: Maps, boxes: Sequence[Tensor]) -> Tensor:
    """Maps of regions (R, C, side, side), from the levels that suit their sizes."""
    return extractor(maps[:extractor.num_inputs], bbox2roi([one.to(maps[0]) for one in boxes]))


def _extract_from_all(extractor: nn.Module, maps: Maps, boxes: Sequence[Tensor]) -> Tensor:
    """The same, where every region is read from all levels and one is kept: no choice of rows."""
    rois = bbox2roi([one.to(maps[0]) for one in boxes])
    maps = maps[:extractor.num_inputs]
    chosen, found = extractor.map_roi_levels(rois, len(maps)), []
    for i, (layer, level) in enumerate(zip(extractor.roi_layers, maps)):
        pooled = roi_align(level, rois, layer.output_size, layer.spatial_scale,
                           layer.sampling_ratio, layer.aligned)
        found.append(pooled * (chosen == i)[:, None, None, None])
    return sum(found)
