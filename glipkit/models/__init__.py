"""Networks: backbones, alignment, fusion, heads, losses, necks and detectors."""
from glipkit.compat import import_mmdet

import_mmdet()

from glipkit.models.backbones.clip_resnet import ClipResNet  # noqa: E402
from glipkit.models.backbones.swin import SwinTransformer  # noqa: E402
from glipkit.models.backbones.timm_backbone import TimmBackbone  # noqa: E402
from glipkit.models.detectors.glip import GLIP  # noqa: E402
from glipkit.models.fusion.bi_attention import BiAttention  # noqa: E402
from glipkit.models.heads.dyhead import DyConv  # noqa: E402
from glipkit.models.heads.glip_head import GLIPHead  # noqa: E402
from glipkit.models.losses.token_focal import TokenFocalLoss  # noqa: E402
from glipkit.models.necks.fpn import DropBlockFPN  # noqa: E402
from glipkit.text.encoders.bert import BertEncoder, BertLayer  # noqa: E402
from glipkit.text.encoders.clip_text import ClipTextEncoder  # noqa: E402

__all__ = [
    'BertEncoder', 'BertLayer', 'BiAttention', 'ClipResNet', 'ClipTextEncoder', 'DropBlockFPN',
    'DyConv', 'GLIP', 'GLIPHead', 'SwinTransformer', 'TimmBackbone', 'TokenFocalLoss'
]
