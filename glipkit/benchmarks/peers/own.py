"""Our own GLIP."""
from __future__ import annotations

import warnings
from typing import Any

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.apis.build import load
from glipkit.benchmarks.workload import GroundedText, Workload


class Model:
    """A candidate; see :class:`glipkit.benchmarks.tasks.Candidate`."""

    def __init__(self, work: Workload) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # random weights are what is wanted
            self.model = load(work.config, device=work.device)
        self._work, self._images = work, work.images()
        self.compilable = [self.model.backbone, self.model.neck, self.model.bbox_head]
        self.details: dict[str, Any] = {
            'text': 'encoded once and remembered, as over a data set' if work.classes else
                    'encoded in every step'}

    def predict(self) -> list[DetDataSample]:
        """Detections, candidates without any among them."""
        size = self._work.image
        samples = [DetDataSample(metainfo=dict(text=self._work.classes, img_shape=size))
                   for _ in range(self._work.batch)]
        return self.model.predict(self._images, samples)

    def loss(self) -> Tensor:
        """Sum of the three losses."""
        samples = [_sample(text, self._work) for text in self._work.captions()]
        return sum(self.model.loss(self._images, samples).values())


def _sample(text: GroundedText, work: Workload) -> DetDataSample:
    sample = DetDataSample(metainfo=dict(text=text.caption, img_shape=work.image))
    sample.gt_instances = InstanceData(bboxes=text.boxes.to(work.device),
                                       tokens_positive=[[span] for span in text.spans])
    return sample
