"""GLIP with one question as a function of tensors, for export.

P prompts, N anchors over all levels, T tokens of the longest prompt, K labels of the largest one.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from glipkit.models.alignment.label_pooling import Pool, pool_rows
from glipkit.models.kernels.forms import traceable_view
from glipkit.models.tensor_form import TensorForm
from glipkit.text.query import Query
from glipkit.text.structures import TextFeatures

if TYPE_CHECKING:
    from glipkit.models.detectors.glip import GLIP


class GLIPTensors(TensorForm):
    """Image and text features in, boxes and scores of all anchors out.

    All prompts pass through the head as one batch, and the image tower runs once. The text encoder
    is no part of it: what it says of the prompts is among the words.

    Outputs: ``boxes`` (P, N, 4), xyxy pixels of the image whose right and bottom edge belong to the
    box; ``scores`` (P, N, K), probability of each label; ``centerness`` (P, N), probability; and
    ``level`` (N,), the level of each anchor. A detection scores sqrt(score x centerness).

    Where classes have several names, these are pooled in the graph, and labels that do not follow
    each other within a prompt are in the rules: ``labels``, those of each prompt's columns.

    Args:
        model: The detector, in evaluation mode.
        query: What it is asked.
    """

    outputs = ('boxes', 'scores', 'centerness', 'level')
    axes = {
        'hidden': {0: 'prompts', 1: 'tokens'}, 'mask': {0: 'prompts', 1: 'tokens'},
        'token_map': {0: 'prompts', 1: 'labels', 2: 'tokens'}, 'starts': {0: 'prompts'},
        'boxes': {0: 'prompts', 1: 'anchors'}, 'scores': {0: 'prompts', 1: 'anchors', 2: 'labels'},
        'centerness': {0: 'prompts', 1: 'anchors'}, 'level': {0: 'anchors'}}
    divisor = 32

    def __init__(self, model: GLIP, query: Query) -> None:
        prompts = model.prompts(query)
        tokens = model.tokenize(prompts)
        with torch.no_grad():
            text = model.encode_text(tokens)
        maps = [model.token_map_of(tokens, i, prompt.spans) for i, prompt in enumerate(prompts)]
        labels = max(map(len, maps))
        super().__init__(dict(
            hidden=text.hidden, mask=text.mask,
            token_map=torch.stack([F.pad(one, (0, 0, 0, labels - len(one))) for one in maps])))
        self.pools = [Pool.of([prompt], query) for prompt in prompts]
        self.starts = torch.tensor([pool.columns[0] for pool in self.pools])
        self.most = max(len(pool.columns) for pool in self.pools)
        self.labels = self._labels()
        self.open = self.labels is None and all(pool.plain for pool in self.pools)
        self.settings = model.test_settings
        self.divisor = max(self.divisor, int(model.data_preprocessor.pad_size_divisor))
        view = traceable_view(model)
        self.backbone, self.neck, self.head = view.backbone, view.neck, view.bbox_head

    def _labels(self) -> Tensor | None:
        """Label of each column of each prompt, (P, K); None where they follow the first one."""
        table = [list(pool.columns) for pool in self.pools]
        if all(own == list(range(own[0], own[0] + len(own))) for own in table):
            return None
        return torch.tensor([own + own[-1:] * (self.most - len(own)) for own in table])

    @property
    def rules(self) -> dict[str, Any]:
        settings = self.settings
        own = {} if self.labels is None else dict(labels=self.labels.tolist())
        return dict(own, kind='anchors', edge=1, score_threshold=settings.score_threshold,
                    nms_pre=settings.nms_pre, nms_iou=settings.nms_iou,
                    max_per_image=settings.max_per_image, keep_ties=True)

    def forward(self, image: Tensor, hidden: Tensor, mask: Tensor,
                token_map: Tensor) -> tuple[Tensor, ...]:
        # `len` would fix the number of prompts in an exported graph.
        levels = [level.expand(hidden.shape[0], -1, -1, -1)
                  for level in self.neck(self.backbone(image))]
        outputs = self.head(levels, TextFeatures(hidden, mask))
        boxes, centers = self.head.decoded(outputs)
        scores = [pool_rows(self.head.label_scores(logits, token_map), self.pools)
                  for logits in outputs.token_logits]
        number = torch.cat([torch.full_like(one[0], i, dtype=torch.int64)
                            for i, one in enumerate(centers)])
        return (torch.cat(boxes, 1), torch.cat(scores, 1), torch.cat(centers, 1), number)

    def candidates(self, results: tuple[Tensor, ...], starts: Tensor) -> tuple[Tensor, ...]:
        boxes, scores, centerness, level = results
        product = torch.where(scores > self.settings.score_threshold,
                              scores * centerness[..., None], 0.)
        found, names = [], scores.shape[2]
        for number in range(len(self.head.scales)):
            # Of every prompt the best pairs of an anchor and a label, as if it were alone.
            own = product * (level == number)[:, None]
            best, place = own.flatten(1).topk(torch.sym_min(self.settings.nms_pre, own[0].numel()))
            anchor = place // names
            corners = boxes.gather(1, anchor[..., None].expand(-1, -1, 4))
            # Exporters know no remainder of a length that is open.
            column = place - anchor * names
            label = column + starts[:, None] if self.labels is None \
                else self.labels.to(column.device).gather(1, column)
            found.append((corners.flatten(0, 1), best.flatten(), label.flatten()))
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*found))
        kept = (scores > 0).nonzero()[:, 0]
        return boxes[kept], scores[kept].sqrt(), labels[kept]
