"""Detectors of given regions, with one question, as functions of tensors, for export.

N regions, K labels, D channels of an embedding.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from glipkit.errors import UserError
from glipkit.models.alignment.label_pooling import Pool
from glipkit.models.kernels.forms import traceable_view
from glipkit.models.tensor_form import TensorForm

if TYPE_CHECKING:
    from glipkit.models.detectors.region_words import RegionWords


class RegionTensors(TensorForm):
    """Image, boxes and embeddings of words in; what each box shows out.

    Where boxes come from is no part of it. Inputs: ``regions`` (N, 4), xyxy pixels of the image.
    Words: ``embeddings`` (M, D) of M names, and whatever else `score_regions` of the model takes.
    Outputs:
    ``boxes`` (N, 4), the regions or where the model moves them; ``scores`` (N, K).

    Args:
        model: The detector, in evaluation mode.
        words: Name -> tensor whose rows are names.
        pool: Labels of the names.
        fill: What stands beside an image that is smaller than the graph's.
        any_size: See :class:`TensorForm`.
    """

    inputs = {'regions': (-1, 4)}
    outputs = ('boxes', 'scores')

    def __init__(self, model: RegionWords, words: Mapping[str, Tensor], pool: Pool,
                 fill: Literal['mean', 'black'] = 'mean', any_size: bool = True) -> None:
        super().__init__(words)
        self.any_size, self.pool, self.open = any_size, pool, pool.plain
        self.axes = {'regions': {0: 'regions'}, **{name: {0: 'labels'} for name in words},
                     'boxes': {0: 'regions'}, 'scores': {0: 'regions', 1: 'labels'}}
        self.starts = torch.zeros(1, dtype=torch.long)
        self.settings, self.fill, self.source = model.test_settings, fill, model.box_source
        if self.settings.soft_nms or self.settings.fusion != 'none':
            raise UserError('a model with plain suppression of scores of its own',
                            'one with soft_nms or fusion in its test_cfg', 'turn them off')
        self.model = traceable_view(model)

    @property
    def rules(self) -> dict[str, Any]:
        settings = self.settings
        found = dict(kind='regions', edge=0, score_threshold=settings.score_threshold,
                     nms_iou=settings.nms_iou, max_per_image=settings.max_per_image,
                     keep_ties=False, fill=self.fill)
        grid = getattr(self.source, 'grid_settings', None)
        return found if grid is None else dict(found, grid=grid)

    def forward(self, image: Tensor, regions: Tensor, *words: Tensor) -> tuple[Tensor, ...]:
        boxes, scores = self.model.score_regions(image, regions, self.pool, *words)
        return boxes.clone(), scores  # an output that is an input would lose its name

    def candidates(self, results: tuple[Tensor, ...], starts: Tensor) -> tuple[Tensor, ...]:
        boxes, scores = results
        regions, labels = (scores > self.settings.score_threshold).nonzero(as_tuple=True)
        return boxes[regions], scores[regions, labels], labels
