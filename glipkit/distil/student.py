"""A trained student: images in, detections out; without words."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmengine.config import Config

from glipkit.apis.arguments import Shown
from glipkit.apis.batches import build_pipelines, collect, prepare_image, run_by_size
from glipkit.apis.build import build_model, read_config
from glipkit.apis.detections import Detections
from glipkit.apis.images import Images, ImageSource, list_images
from glipkit.checkpoints.files import read_file
from glipkit.checkpoints.loading import check_state
from glipkit.errors import UserError
from glipkit.text.query import Query

#: Lowest score that a person is shown. Students learn from quality focal loss, whose scores are
#: lower than a teacher's.
SHOWN_ABOVE = 0.3


class Student:
    """Finds the classes that it was trained for.

    Args:
        config: ``student.py`` of a run, or its content.
        weights: ``student.pth`` of the run.
        device: Device to run on.

    Raises:
        UserError: Files of another kind, or that do not fit each other.
    """

    def __init__(self, config: str | Path | Config, weights: str | Path,
                 device: str = 'cpu') -> None:
        self.cfg = config if isinstance(config, Config) else read_config(config)
        if 'classes' not in self.cfg:
            raise UserError('the student.py of a distillation', str(config), 'pass that file')
        self.model = build_model(self.cfg)
        state = read_file(weights).state
        check_state(self.model, dict(state_dict=state), weights)
        self.model.load_state_dict(state)
        self.model.to(device).eval()
        self._pipelines = build_pipelines(self.cfg)
        self._query = Query.for_classes(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the labels."""
        return tuple(self.cfg.classes)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(weight.numel() for weight in self.model.parameters())

    def __call__(self, images: Images, score_threshold: float = SHOWN_ABOVE,
                 per_object: str = 'one') -> list[Detections]:
        """Detections of every image; the arguments are those of `glipkit.Predictor`."""
        return list(self.stream(list_images(images), score_threshold, per_object))

    def stream(self, sources: Sequence[ImageSource], score_threshold: float = SHOWN_ABOVE,
               per_object: str = 'one',
               skip: Callable[[ImageSource, UserError], None] | None = None
               ) -> Iterator[Detections]:
        """As a call, one image after the other.

        Args:
            sources: Images, from `list_images`.
            score_threshold: As in a call.
            per_object: As in a call.
            skip: Called with each image that cannot be read, and why; None raises instead.
        """
        shown = Shown(score_threshold, per_object)
        for source in sources:
            try:
                item = prepare_image(self._pipelines, source, self._query, self.classes, 'bgr')
            except UserError as error:
                if skip is None:
                    raise
                skip(source, error)
                continue
            sample, = run_by_size(self.model, [item.packed])
            yield collect(sample, item, shown)
