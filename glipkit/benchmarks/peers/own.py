"""Our own GLIP."""
from __future__ import annotations

from typing import Any

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.apis.build import RANDOM, find_config, load
from glipkit.apis.index import shipped_weights
from glipkit.benchmarks.workload import GroundedText, Workload


class Model:
    """A candidate; see :class:`glipkit.benchmarks.tasks.Candidate`."""

    def __init__(self, work: Workload) -> None:
        # What comes with glipkit, and random weights otherwise: nothing is fetched to take times.
        weights = shipped_weights(find_config(work.config)) or RANDOM
        self.model = load(work.config, weights, work.device)
        self._work, self._images = work, work.images()
        self._called = False
        self.compilable = [self.model.backbone, self.model.neck, self.model.bbox_head]
        self.details: dict[str, Any] = {
            'text': 'encoded once and remembered, as over a data set' if work.classes else
                    'encoded in every step'}

    def predict(self) -> list[DetDataSample]:
        """Detections, candidates without any among them."""
        if self._work.graphs and self._called and getattr(self.model, 'graphs', None) is None:
            # Not before: in the first call operations are counted, and a replay has none.
            self.model.use_graphs()
        self._called = True
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
