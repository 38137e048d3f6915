"""Layer groups of any tower, and its layers for low-rank changes.

Our towers have the methods ``layer_groups()`` and ``low_rank_layers()``. Classes of other libraries
do not; the same answers are registered here by class.
"""
from __future__ import annotations

from functools import singledispatch

from mmdet.models.backbones.swin import SwinTransformer as MmdetSwin
from mmdet.models.backbones.swin import WindowMSA
from torch import nn

from glipkit.errors import UserError


@singledispatch
def layer_groups(tower: nn.Module) -> list[nn.Module]:
    """Parts of a backbone from the stem upwards, with every parameter in one part.

    A tower without method and entry is one part.
    """
    own = getattr(tower, 'layer_groups', None)
    return [tower] if own is None else list(own())


@singledispatch
def low_rank_layers(module: nn.Module) -> list[nn.Linear]:
    """The linear layers of a module itself, not of its children, for low-rank changes."""
    own = getattr(module, 'low_rank_layers', None)
    return [] if own is None else list(own())


@layer_groups.register
def _swin_groups(tower: MmdetSwin) -> list[nn.Module]:
    if tower.use_abs_pos_embed:  # its table of positions is in no stage
        return [tower]
    stages = [[stage] for stage in tower.stages]
    for index in tower.out_indices:
        stages[index].append(getattr(tower, f'norm{index}'))
    return [tower.patch_embed, *map(nn.ModuleList, stages)]


@low_rank_layers.register
def _window_attention_layers(attention: WindowMSA) -> list[nn.Linear]:
    return linear_children(attention)


def linear_children(module: nn.Module) -> list[nn.Linear]:
    """The linear layers that a module holds itself."""
    return [layer for layer in module.children() if isinstance(layer, nn.Linear)]


def stem_and_blocks(model: nn.Module) -> list[nn.Module]:
    """Parts of a timm model: the stem, each stage in ``blocks``, then the layers behind them."""
    groups: list[list[nn.Module]] = [[]]
    for name, child in model.named_children():
        if name == 'blocks':
            groups += [[stage] for stage in child]
            groups.append([])
        else:
            groups[-1].append(child)
    return [nn.ModuleList(group) for group in groups if group]


def freeze_groups(groups: list[nn.Module], count: int) -> None:
    """Takes the first ``count`` parts of a tower out of training.

    Raises:
        UserError: A count beyond the number of parts.
    """
    if not 0 <= count <= len(groups):
        raise UserError(f'frozen_stages from 0 to {len(groups)}', str(count), 'correct it')
    for group in groups[:count]:
        group.requires_grad_(False)


def gathered(**parts: nn.Module | nn.Parameter) -> nn.Module:
    """One part out of layers and parameters that a tower holds itself."""
    group = nn.Module()
    for name, part in parts.items():
        setattr(group, name, part)
    return group
