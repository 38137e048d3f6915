"""Words that the image side learns before any fusion with text."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.models.alignment.token_logits import TokenAlignment
from glipkit.registry import MODELS


@MODELS.register_module()
class WordLoss(nn.Module):
    """Asks the pyramid, at the centre of each box, which words of the prompt its name is made of.

    The official code has a contrastive loss on the same maps as an option (shallow contrast). It
    matters for a tower that begins with random weights. Two words that look alike to it, such as
    'striped' and 'dotted', at first get equal text features as well, and then neither side has a
    gradient that tells them apart: the scores of a name are a mean over its tokens, and only one
    token of four differs. Here each word is a question of its own, read alone.

    Args:
        strides: Pixels per cell of each level.
        loss_weight: Factor on the result.
        shift: Centres move by up to this share of a box's size, so that a whole object learns.
    """

    def __init__(self, strides: Sequence[int], loss_weight: float = 1., shift: float = .15) -> None:
        super().__init__()
        self.strides, self.loss_weight, self.shift = tuple(strides), loss_weight, shift

    def forward(self, levels: Sequence[Tensor], boxes: Sequence[Tensor],
                belongs: Sequence[Tensor], words: Sequence[Tensor],
                alignment: TokenAlignment) -> Tensor:
        """Binary cross entropy over boxes, words and levels, in float32.

        Args:
            levels: Maps (B, C, H_i, W_i) of the pyramid.
            boxes: Boxes (G, 4) of each image, xyxy pixels of the padded input; G may be 0.
            belongs: Whether a word is in the name of a box, (G, W) bool of each image.
            words: Text features (W, D) of the words of each image's prompt; W may be 0.
            alignment: Compares cells with words.

        Returns:
            The loss, a scalar; 0 where there is nothing to ask.
        """
        logits, targets = [], []
        for i, (mine, truth, text) in enumerate(zip(boxes, belongs, words)):
            if not truth.numel():
                continue
            cells = torch.stack([cells_at(level[i], self._centres(mine), stride)
                                 for level, stride in zip(levels, self.strides)])  # (L, G, C)
            classifier = alignment.encode_text(text[None].float().expand(len(cells), -1, -1))
            scores = alignment(cells.float(), classifier)
            logits.append(scores.flatten())
            targets.append(truth.to(scores).expand_as(scores).flatten())
        if not logits:
            return sum(level.sum() for level in levels) * 0
        return self.loss_weight * F.binary_cross_entropy_with_logits(
            torch.cat(logits), torch.cat(targets))

    def _centres(self, boxes: Tensor) -> Tensor:
        sizes = boxes[:, 2:] - boxes[:, :2]
        moved = (torch.rand(len(boxes), 2, device=boxes.device) * 2 - 1) * self.shift
        return (boxes[:, :2] + boxes[:, 2:]) / 2 + moved * sizes


def cells_at(level: Tensor, points: Tensor, stride: int) -> Tensor:
    """Cells (G, C) of a map (C, H, W) that the points (G, 2), xy pixels, lie in."""
    height, width = level.shape[-2:]
    x, y = (points / stride).long().unbind(1)
    return level[:, y.clamp(0, height - 1), x.clamp(0, width - 1)].T
