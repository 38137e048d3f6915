"""Networks: backbones, alignment, fusion, heads, losses, necks and detectors."""
from glipkit.compat import import_mmdet

import_mmdet()

from glipkit.models.backbones.clip_resnet import ClipResNet  # noqa: E402
from glipkit.models.backbones.clip_vit import ClipViT  # noqa: E402
from glipkit.models.backbones.eva_vit import EvaViT  # noqa: E402
from glipkit.models.backbones.packaged_tower import PackagedTower  # noqa: E402
from glipkit.models.backbones.semantic import SemanticBackbone  # noqa: E402
from glipkit.models.backbones.swin import SwinTransformer  # noqa: E402
from glipkit.models.backbones.timm_backbone import TimmBackbone  # noqa: E402
from glipkit.models.detectors.clip_rcnn import ClipRCNN  # noqa: E402
from glipkit.models.detectors.dense_clip import DenseClip  # noqa: E402
from glipkit.models.detectors.fvit import FVit  # noqa: E402
from glipkit.models.detectors.glip import GLIP  # noqa: E402
from glipkit.models.fusion.bi_attention import BiAttention  # noqa: E402
from glipkit.models.heads.dyhead import DyConv  # noqa: E402
from glipkit.models.heads.glip_head import GLIPHead  # noqa: E402
from glipkit.models.heads.normed_rpn_head import NormedRPNHead  # noqa: E402
from glipkit.models.losses.region_classes import (  # noqa: E402
    FocalScaledClassLoss,
    WeightedClassLoss,
)
from glipkit.models.losses.token_focal import TokenFocalLoss  # noqa: E402
from glipkit.models.losses.words import WordLoss  # noqa: E402
from glipkit.models.necks.fpn import DropBlockFPN  # noqa: E402
from glipkit.models.necks.semantic_fpn import SemanticFPN  # noqa: E402
from glipkit.models.necks.vit_pyramid import ViTPyramid  # noqa: E402
from glipkit.models.pretrainers.clip import ClipPretrainer  # noqa: E402
from glipkit.models.pretrainers.clipself import ClipSelfPretrainer  # noqa: E402
from glipkit.models.pretrainers.region_clip import RegionClipPretrainer  # noqa: E402
from glipkit.models.proposals.frozen_rpn import FrozenRPN  # noqa: E402
from glipkit.models.proposals.given import GivenBoxes  # noqa: E402
from glipkit.models.proposals.grid import GridBoxes  # noqa: E402
from glipkit.models.proposals.random_boxes import RandomBoxes  # noqa: E402
from glipkit.models.proposals.truth import TruthBoxes  # noqa: E402
from glipkit.models.roi_heads.clip_mask_head import ClipMaskHead  # noqa: E402
from glipkit.models.roi_heads.clip_roi_head import ClipRoIHead  # noqa: E402
from glipkit.models.roi_heads.fvit_roi_head import FVitRoIHead  # noqa: E402
from glipkit.models.roi_heads.text_box_head import TextBoxHead  # noqa: E402
from glipkit.text.encoders.bert import BertEncoder, BertLayer  # noqa: E402
from glipkit.text.encoders.clip_text import ClipTextEncoder  # noqa: E402

__all__ = [
    'BertEncoder', 'BertLayer', 'BiAttention', 'ClipMaskHead', 'ClipPretrainer', 'ClipRCNN',
    'ClipResNet', 'ClipRoIHead', 'ClipSelfPretrainer', 'ClipTextEncoder', 'ClipViT',
    'DenseClip', 'DropBlockFPN', 'DyConv', 'EvaViT', 'FVit', 'FVitRoIHead',
    'FocalScaledClassLoss', 'FrozenRPN', 'GLIP', 'GLIPHead', 'GivenBoxes', 'GridBoxes',
    'NormedRPNHead', 'PackagedTower', 'RandomBoxes', 'RegionClipPretrainer',
    'SemanticBackbone', 'SemanticFPN', 'SwinTransformer', 'TextBoxHead', 'TimmBackbone',
    'TokenFocalLoss', 'TruthBoxes', 'ViTPyramid', 'WeightedClassLoss', 'WordLoss'
]
