"""A student as a function of one tensor, for export."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.models.tensor_form import Axes, TensorForm


class DenseForm(TensorForm):
    """A detector of mmdet with one dense head: RTMDet, ATSS, RetinaNet, FCOS and their like.

    Gives ``boxes`` (N, 4) xyxy pixels of the image, ``scores`` (N, K) and ``level`` (N,). As in
    `BaseDenseHead.predict_by_feat`, up to the choice of candidates.

    Args:
        model: The detector.
        size: Side of its square images in pixels.

    Raises:
        UserError: A detector that chooses boxes by rules of its own.
    """

    outputs: ClassVar[tuple[str, ...]] = ('boxes', 'scores', 'level')
    axes: ClassVar[Axes] = {}
    divisor = 32
    any_size = False

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__({})
        head = getattr(model, 'bbox_head', None)
        own = ('predict_by_feat', '_predict_by_feat_single')
        if not isinstance(head, BaseDenseHead) or any(
                getattr(type(head), name) is not getattr(BaseDenseHead, name) for name in own):
            raise UserError('a student with a dense head as that of RTMDet, ATSS, RetinaNet or '
                            'FCOS, for ONNX', type(head or model).__name__,
                            'export it with the tools of its own project; student.py and '
                            'student.pth are those of any detector of mmdet')
        self.model, self.size, self.starts = model, size, torch.zeros(1, dtype=torch.int64)

    @property
    def rules(self) -> dict[str, Any]:
        """See :mod:`glipkit.runtime.rules`."""
        rules = self.model.bbox_head.test_cfg
        return dict(kind='levels', score_threshold=float(rules.get('score_thr', 0)),
                    nms_pre=int(rules.get('nms_pre', -1)),
                    nms_iou=float(rules['nms']['iou_threshold']),
                    max_per_image=int(rules['max_per_img']), keep_ties=False, edge=0)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        head = self.model.bbox_head
        scores, boxes, *factors = head(self.model.extract_feat(image))
        sizes = [tuple(one.shape[-2:]) for one in scores]
        points = head.prior_generator.grid_priors(sizes, dtype=image.dtype, device=image.device)
        found = [head.bbox_coder.decode(point, _rows(box, head.bbox_coder.encode_size),
                                        max_shape=(self.size, self.size))
                 for point, box in zip(points, boxes)]
        rated = [self._probabilities(_rows(one, head.cls_out_channels)) for one in scores]
        if factors:
            rated = [one * _rows(factor, 1).sigmoid() for one, factor in zip(rated, factors[0])]
        levels = torch.cat([torch.full((len(one), ), number) for number, one in enumerate(found)])
        return torch.cat(found), torch.cat(rated), levels

    def _probabilities(self, logits: Tensor) -> Tensor:
        if self.model.bbox_head.use_sigmoid_cls:
            return logits.sigmoid()
        return logits.softmax(-1)[:, :-1]

    def candidates(self, results: Sequence[Tensor], starts: Tensor) -> tuple[Tensor, ...]:
        """Not made: a student's boxes are suppressed outside of the graph."""
        raise NotImplementedError


def _rows(level: Tensor, width: int) -> Tensor:
    """(1, A * width, H, W) -> (H * W * A, width), in mmdet's order."""
    return level[0].permute(1, 2, 0).reshape(-1, width)
