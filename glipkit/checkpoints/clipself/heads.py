"""What F-ViT has above its towers, in our layout and in the authors' (Wu et al., ICLR 2024)."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from glipkit.checkpoints.clip.structure import linear, size
from glipkit.checkpoints.clip.tables import is_counter
from glipkit.checkpoints.counting import count
from glipkit.checkpoints.differences import Shape
from glipkit.checkpoints.key_table import KeyTable, Row

#: Keys of ours above the towers.
HEADS = re.compile(r'(pyramid|neck|rpn_head|roi_head)\.')
#: Held by their files: a class matrix, which our models make from words, and an unused layer.
SIDE_KEYS = re.compile(r'roi_head\.bbox_head\.(all_embeddings|fc_cls\.(weight|bias))')

TABLE = KeyTable([
    Row('pyramid.interpolate{level}.{tail}', 'backbone.interpolate{level}.{tail}'),
    *(Row(f'{part}.{{tail}}', f'{part}.{{tail}}') for part in ('neck', 'rpn_head', 'roi_head')),
    Row('backbone.{tail}', 'backbone.visual.{tail}')])

_HEAD, _MASKS, _RPN = 'roi_head.bbox_head.', 'roi_head.mask_head.', 'rpn_head.'


@dataclass(frozen=True)
class HeadSizes:
    """Sizes of what stands above a tower of ``width`` channels and ``embed_dim`` of an embedding.

    Args:
        width: Channels of the tower.
        embed_dim: Channels of an embedding.
        channels: Channels of the pyramid.
        anchors: Boxes of a place.
        rpn_convs: Convolutions of the proposal head.
        rpn_norm: Whether norms stand behind them.
        box_convs: Convolutions of the box head.
        cells: Cells of a region's map.
        mask_convs: Convolutions of the mask head; 0 for none.
    """

    width: int
    embed_dim: int
    channels: int
    anchors: int
    rpn_convs: int
    rpn_norm: bool
    box_convs: int
    cells: int
    mask_convs: int

    def __str__(self) -> str:
        return ('proposal, box and mask head' if self.mask_convs else 'proposal and box head') + \
            f', pyramid of {self.channels}'

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], width: int, embed_dim: int,
                   origin: object) -> HeadSizes:
        """Reads the sizes off keys of our layout; ``origin`` is for messages.

        Raises:
            UserError: A tensor that fixes a size is absent.
        """
        channels = size(state, 'neck.lateral_convs.0.conv.weight', 4, origin)[0]
        return cls(width, embed_dim, channels, size(state, f'{_RPN}rpn_cls.weight', 4, origin)[0],
                   count(state, f'{_RPN}rpn_conv.'), f'{_RPN}rpn_conv.0.bn.weight' in state,
                   count(state, f'{_HEAD}shared_convs.'),
                   size(state, f'{_HEAD}shared_fcs.0.weight', 2, origin)[1] // channels,
                   count(state, f'{_MASKS}convs.'))

    def shapes(self) -> dict[str, Shape]:
        """Every tensor but for counters of batches."""
        width, channels, joint = self.width, self.channels, self.embed_dim
        found: dict[str, Shape] = {f'{_HEAD}detect_temperature': ()}
        for stem in ('1.0', '1.3', '2.0'):
            found |= _conv(f'pyramid.interpolate{stem}', width, width, 2)
        found |= _norm('pyramid.interpolate1.1', width)
        for level in range(4):
            found |= _normed(f'neck.lateral_convs.{level}', channels, width, 1)
            found |= _normed(f'neck.fpn_convs.{level}', channels, channels, 3)
        for i in range(self.rpn_convs):
            stem = f'{_RPN}rpn_conv.{i}'
            found |= _normed(stem, channels, channels, 3) if self.rpn_norm else \
                _conv(f'{stem}.conv', channels, channels, 3)
        found |= _conv(f'{_RPN}rpn_cls', self.anchors, channels, 1)
        found |= _conv(f'{_RPN}rpn_reg', 4 * self.anchors, channels, 1)
        for i in range(self.box_convs):
            found |= _normed(f'{_HEAD}shared_convs.{i}', channels, channels, 3)
        found |= linear(f'{_HEAD}shared_fcs.0', channels * self.cells, joint)
        for stem in ('shared_fcs.1', 'cls_fcs.0', 'reg_fcs.0'):
            found |= linear(f'{_HEAD}{stem}', joint, joint)
        found |= linear(f'{_HEAD}fc_reg', joint, 4)
        for i in range(self.mask_convs):
            found |= _normed(f'{_MASKS}convs.{i}', channels, channels, 3)
        if self.mask_convs:
            found |= _conv(f'{_MASKS}upsample', channels, channels, 2)
            found |= _conv(f'{_MASKS}conv_logits', 1, channels, 1)
        return found


def shapes_above(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """The shapes of what a state dict of ours holds above its towers, without counters."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()
            if HEADS.match(key) and not is_counter(key)}


def _conv(stem: str, out: int, into: int, side: int) -> dict[str, Shape]:
    return {f'{stem}.weight': (out, into, side, side), f'{stem}.bias': (out, )}


def _norm(stem: str, channels: int) -> dict[str, Shape]:
    return {f'{stem}.{name}': (channels, )
            for name in ('weight', 'bias', 'running_mean', 'running_var')}


def _normed(stem: str, out: int, into: int, side: int) -> dict[str, Shape]:
    return {f'{stem}.conv.weight': (out, into, side, side), **_norm(f'{stem}.bn', out)}
