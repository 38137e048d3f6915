"""Stem and stages of any backbone, for freezing and layer-wise rates."""
from __future__ import annotations

from mmdet.models.backbones import SwinTransformer
from torch import nn

from glipkit.models.backbones.timm_backbone import TimmBackbone


def backbone_groups(backbone: nn.Module) -> list[nn.Module]:
    """Parts from the input upwards: the stem, then each stage with the norm of its output.

    A backbone of an unknown kind is one part.
    """
    if isinstance(backbone, SwinTransformer) and not backbone.use_abs_pos_embed:
        return _swin(backbone)
    if isinstance(backbone, TimmBackbone):
        return _timm(backbone)
    return [backbone]


def _swin(backbone: SwinTransformer) -> list[nn.Module]:
    stages = [[stage] for stage in backbone.stages]
    for index in backbone.out_indices:
        stages[index].append(getattr(backbone, f'norm{index}'))
    return [backbone.patch_embed, *map(nn.ModuleList, stages)]


def _timm(backbone: TimmBackbone) -> list[nn.Module]:
    # What comes before the first stage of a quarter of the resolution is the stem.
    stages = {info['module'].replace('.', '_') for info in backbone.model.feature_info.info
              if info['reduction'] >= 4}
    groups: list[list[nn.Module]] = [[]]
    for name, child in backbone.model.named_children():
        if name in stages:
            groups.append([])
        groups[-1].append(child)
    return [nn.ModuleList(group) for group in groups]
