"""GLIP's head: fused tower, alignment scores, boxes and centerness; its losses and its candidates.

B images, L levels, N anchors over all levels, T tokens, K labels, C channels.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmcv.cnn import Scale
from mmdet.models.task_modules.assigners import ATSSAssigner
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from glipkit.common.devices import to_device
from glipkit.models.alignment.label_pooling import Pool, pool_names, pool_rows, pool_to_labels
from glipkit.models.alignment.token_logits import MeaningAlignment, TokenAlignment
from glipkit.models.fusion.stack import build_tower, run_tower
from glipkit.models.heads.assignment import AnchorTargets, assign_targets
from glipkit.models.heads.box_coder import decode
from glipkit.models.heads.postprocess import (
    Candidates,
    TestSettings,
    select_at_once,
    select_candidates,
)
from glipkit.models.kernels.tables import remembered
from glipkit.registry import MODELS
from glipkit.text.structures import TextFeatures


@dataclass
class HeadOutputs:
    """Raw outputs per level, finest first.

    Attributes:
        token_logits: (B, H_i*W_i, T), positions row by row.
        bbox_preds: (B, 4, H_i, W_i) deltas to the anchors.
        centernesses: (B, 1, H_i, W_i) logits.
    """
    token_logits: list[Tensor]
    bbox_preds: list[Tensor]
    centernesses: list[Tensor]

    def parts(self) -> list[Tensor]:
        """All tensors; `of_parts` puts them together again."""
        return [*self.token_logits, *self.bbox_preds, *self.centernesses]

    @classmethod
    def of_parts(cls, parts: Sequence[Tensor]) -> HeadOutputs:
        """What `parts` gave."""
        count = len(parts) // 3
        return cls(*(list(parts[k * count:(k + 1) * count]) for k in range(3)))

    def flat_boxes(self) -> list[Tensor]:
        """Deltas per level as (B, H_i*W_i, 4)."""
        return [pred.flatten(2).transpose(1, 2) for pred in self.bbox_preds]

    def flat_centernesses(self) -> list[Tensor]:
        """Centerness logits per level as (B, H_i*W_i)."""
        return [center.flatten(1) for center in self.centernesses]


@MODELS.register_module()
class GLIPHead(nn.Module):
    """Detection as grounding: every label score is a region-word dot product (GLIP section 3.1).

    Args:
        in_channels: Channels C of the input maps and of the tower.
        text_dim: Width of the text features.
        num_blocks: Blocks of the tower.
        dyconv: Config of the image part of a block.
        fusion: Config of the cross attention of a block; None gives variant A, whose text does not
            attend to the image and whose dot product uses the text encoder's output.
        text_layer: Config of the text layer that follows the fusion, or None.
        strides: Pixels per cell of each level.
        anchor_scale: Side of the one square anchor of a cell, in cells.
        assigner_topk: Candidates per box and level (ATSS).
        loss_cls: Config of the token loss.
        loss_bbox: Config of the box loss on xyxy boxes.
        prior_prob: Foreground probability that ``bias0`` starts from.
        log_scale: Log temperature that the alignment starts from. Below 0, dot products count for
            more from the start, which a model without pre-trained towers needs to begin learning.
        with_cp: Whether to recompute the tower's activations in the backward pass (less memory).
        meanings: Arguments of :class:`MeaningAlignment`, where the maps have meanings behind their
            ``in_channels``, see `SemanticFPN`; None where they have none.
    """

    def __init__(self,
                 in_channels: int,
                 text_dim: int,
                 num_blocks: int,
                 dyconv: dict,
                 fusion: dict | None = None,
                 text_layer: dict | None = None,
                 strides: Sequence[int] = (8, 16, 32, 64, 128),
                 anchor_scale: int = 8,
                 assigner_topk: int = 9,
                 loss_cls: dict = dict(type='glipkit.TokenFocalLoss'),  # noqa: B006
                 loss_bbox: dict = dict(type='mmdet.GIoULoss', eps=1e-7,  # noqa: B006
                                        loss_weight=2.0),
                 prior_prob: float = 0.01,
                 log_scale: float = 0.0,
                 with_cp: bool = False,
                 meanings: dict | None = None) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.fused = fusion is not None
        self.tower = build_tower(num_blocks, dyconv, fusion, text_layer, with_cp)
        self.alignment = TokenAlignment(in_channels, text_dim, prior_prob, log_scale)
        self.meanings = None if meanings is None else MeaningAlignment(**meanings)
        self.bbox_pred = nn.Conv2d(in_channels, 4, 1)
        self.centerness = nn.Conv2d(in_channels, 1, 1)
        for layer in (self.bbox_pred, self.centerness):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        self.scales = nn.ModuleList(Scale(1.0) for _ in strides)
        self.anchor_generator = AnchorGenerator(
            strides=list(strides),
            ratios=[1.0],
            octave_base_scale=anchor_scale,
            scales_per_octave=1,
            center_offset=0.5)
        self.assigner = ATSSAssigner(
            topk=assigner_topk, iou_calculator=dict(type='mmdet.BboxOverlaps2D_GLIP'))
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_bbox = MODELS.build(loss_bbox)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Blocks of the tower, alignment, box and centerness layers, and the boxes' scales."""
        alignment = [self.alignment, *([] if self.meanings is None else [self.meanings])]
        return dict(tower=list(self.tower), alignment=alignment,
                    boxes=[self.bbox_pred, self.centerness], scales=[self.scales])

    def forward(self, levels: Sequence[Tensor], text: TextFeatures) -> HeadOutputs:
        """Maps (B, C, H_i, W_i) and text (B, T, text_dim) -> raw outputs.

        With ``meanings`` the maps are (B, C + 2 * text_dim, H_i, W_i).
        """
        if len(levels) != len(self.scales):
            raise ValueError(f'the head has {len(self.scales)} strides but got {len(levels)} maps')
        maps = levels
        if self.meanings is not None:
            maps = [level[:, :self.in_channels] for level in levels]
        maps, fused = run_tower(self.tower, maps, text)
        # The eight bits of bfloat16 would make scores equal and move boxes by pixels; in
        # float32 the last layers take a hundredth of the head's time.
        with torch.autocast(maps[0].device.type, enabled=False):
            maps = [in_float32(m) for m in maps]
            tokens = in_float32(fused.hidden if self.fused else text.embedded)
            classifier = self.alignment.encode_text(tokens)
            logits = [self.alignment(rows(m), classifier) for m in maps]
            if self.meanings is not None:
                words = in_float32(text.embedded)
                cells = [in_float32(rows(level[:, self.in_channels:])) for level in levels]
                logits = [scores + self.meanings(mine, words)
                          for scores, mine in zip(logits, cells)]
            return HeadOutputs(
                token_logits=logits,
                bbox_preds=[scale(self.bbox_pred(m)) for scale, m in zip(self.scales, maps)],
                centernesses=[self.centerness(m) for m in maps])

    def anchors(self, outputs: HeadOutputs) -> list[Tensor]:
        """Anchors of each level (H_i*W_i, 4), xyxy inclusive pixels of the padded input."""
        sizes = [pred.shape[-2:] for pred in outputs.bbox_preds]
        device = outputs.bbox_preds[0].device
        if device.type == 'cuda':
            return [_anchors_on(device, self.anchor_generator, i, tuple(size))
                    for i, size in enumerate(sizes)]
        grids = self.anchor_generator.grid_priors(sizes, torch.float32, device)
        inclusive = grids[0].new_tensor([0, 0, 1, 1])
        return [grid - inclusive for grid in grids]

    def loss(self, outputs: HeadOutputs, text_mask: Tensor, boxes: Sequence[Tensor],
             box_tokens: Sequence[Tensor]) -> dict[str, Tensor]:
        """Losses of one batch (GLIP equation (1)), computed in float32.

        Args:
            outputs: Raw outputs.
            text_mask: Mask (B, T), True at tokens that count, positive or negative.
            boxes: Boxes (G, 4) of each image, xyxy inclusive pixels; G may be 0.
            box_tokens: Tokens (G, T) of each box of each image, bool.

        Returns:
            loss_cls, loss_bbox, loss_centerness; the normalisers are means over all ranks.
        """
        level_anchors = self.anchors(outputs)
        anchors, counts = torch.cat(level_anchors), [len(a) for a in level_anchors]
        targets = [
            assign_targets(self.assigner, anchors, counts, b, t)
            for b, t in zip(boxes, box_tokens)
        ]
        positives = sum(len(t.positive) for t in targets)
        avg_factor = reduce_mean(anchors.new_tensor(float(positives))).clamp(min=1)
        logits = torch.cat(outputs.token_logits, dim=1)
        token_targets = torch.zeros_like(logits, dtype=torch.float32)
        for row, target in zip(token_targets, targets):
            row[target.positive] = target.tokens
        loss_cls = self.loss_cls(logits, token_targets, text_mask, avg_factor)
        loss_bbox, loss_centerness = self._box_losses(outputs, anchors, targets, avg_factor)
        return dict(loss_cls=loss_cls, loss_bbox=loss_bbox, loss_centerness=loss_centerness)

    def _box_losses(self, outputs: HeadOutputs, anchors: Tensor, targets: list[AnchorTargets],
                    avg_factor: Tensor) -> tuple[Tensor, Tensor]:
        deltas = torch.cat(outputs.flat_boxes(), dim=1).float()
        centers = torch.cat(outputs.flat_centernesses(), dim=1).float()
        pick = lambda x: torch.cat([row[t.positive] for row, t in zip(x, targets)])  # noqa: E731
        weights = torch.cat([t.centerness for t in targets])
        weight_sum = reduce_mean(weights.sum()).clamp(min=1e-6)
        if not len(weights):
            # An empty selection still belongs to the graph, for distributed training.
            return deltas.sum() * 0, centers.sum() * 0
        predicted = decode(pick(deltas), torch.cat([anchors[t.positive] for t in targets]))
        loss_bbox = self.loss_bbox(
            predicted,
            torch.cat([t.boxes for t in targets]),
            weight=weights,
            avg_factor=weight_sum)
        loss_centerness = F.binary_cross_entropy_with_logits(
            pick(centers), weights, reduction='sum') / avg_factor
        return loss_bbox, loss_centerness

    def decoded(self, outputs: HeadOutputs) -> tuple[list[Tensor], list[Tensor]]:
        """Boxes (B, N_i, 4), xyxy inclusive pixels of the padded input, and centernesses (B, N_i),
        probabilities, of each level."""
        boxes = [decode(deltas.float(), anchors)
                 for deltas, anchors in zip(outputs.flat_boxes(), self.anchors(outputs))]
        return boxes, [center.float().sigmoid() for center in outputs.flat_centernesses()]

    @staticmethod
    def label_scores(token_logits: Tensor, token_map: Tensor) -> Tensor:
        """Token logits (..., N, T) and map (..., K, T) -> probabilities of labels (..., N, K)."""
        return pool_to_labels(token_logits.float().sigmoid(), token_map)

    def candidates(self, outputs: HeadOutputs, token_maps: Sequence[Tensor],
                   settings: TestSettings, pools: Sequence[Pool]) -> list[Candidates]:
        """Scored boxes of each image for one prompt, in the padded input's frame.

        Args:
            outputs: Raw outputs of B images.
            token_maps: Tokens (N, T) of each name for each image, bool; N may differ. On a GPU one
                tensor (B, N, T), in which no token belongs to the rows of padding.
            settings: Threshold and number of candidates.
            pools: Labels of the names for each image; labels of candidates index their columns.
        """
        boxes, centers = self.decoded(outputs)
        if boxes[0].is_cuda:
            scores = self.label_scores(torch.cat(outputs.token_logits, dim=1), token_maps)
            scores = pool_rows(scores, pools).split([one.shape[1] for one in boxes], dim=1)
            found = select_at_once(scores, centers, boxes, settings)
            return [found.where(i) for i in range(len(pools))]
        results = []
        for i, (token_map, pool) in enumerate(zip(token_maps, pools)):
            scores = [pool_names(self.label_scores(logits[i], token_map), pool)
                      for logits in outputs.token_logits]
            results.append(
                select_candidates(scores, [c[i] for c in centers], [b[i] for b in boxes],
                                  settings))
        return results


@remembered(64)
def _anchors_on(device: torch.device, generator: AnchorGenerator, level: int,
                size: tuple[int, int]) -> Tensor:
    """Inclusive anchors (H*W, 4) of one level on a GPU: each size is made and copied once."""
    with torch.inference_mode(False):
        grid = generator.single_level_grid_priors(size, level, torch.float32, 'cpu')
        return to_device(grid - grid.new_tensor([0, 0, 1, 1]), device)


def rows(maps: Tensor) -> Tensor:
    """Maps (B, C, H, W) as rows of cells (B, H * W, C)."""
    return maps.flatten(2).transpose(1, 2)


def in_float32(x: Tensor) -> Tensor:
    """A tensor of any dtype in float32, or in a wider one if it has that."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
