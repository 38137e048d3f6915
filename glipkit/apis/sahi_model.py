"""A predictor as SAHI's detection model, for ``sahi.predict.get_sliced_prediction``."""
from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from glipkit.apis.asking import Classes
from glipkit.apis.detections import Detections
from glipkit.errors import UserError

if TYPE_CHECKING:
    from sahi.models.base import DetectionModel

    from glipkit.apis.predictor import Predictor


def sahi_model(predictor: Predictor, classes: Classes | None = None,
               **asked: Any) -> DetectionModel:
    """SAHI's interface of a predictor; the text is encoded once for all slices.

    SAHI joins the slices by its own rules. `Predictor` has tiles of its own (``tile=800``).

    Args:
        predictor: Who answers.
        classes: Names to look for, as in a call; category ids are their places from 0.
        **asked: Further arguments of a call but ``tile``; with ``per_object='all'`` SAHI sees every
            label of each object.

    Returns:
        A ``sahi.models.base.DetectionModel``. Its ``confidence_threshold`` is the score threshold
        of the call or the predictor, and may be changed.

    Raises:
        UserError: Without the package sahi, or as in a call.

    Example:
        >>> from sahi.predict import get_sliced_prediction
        >>> model = sahi_model(predict, ['car', 'ship'])
        >>> found = get_sliced_prediction('aerial.jpg', model, 800, 800)
    """
    question = predictor.question(classes, **asked)
    return _adapter()(
        model=(predictor, dict(classes=None if classes is None else question.query, **asked)),
        device=str(predictor.device), confidence_threshold=question.shown.threshold,
        category_mapping={str(i): name for i, name in enumerate(question.names)})


@cache
def _adapter() -> type:
    """The class, which needs SAHI's as its base."""
    try:
        from sahi.models.base import DetectionModel
        from sahi.prediction import ObjectPrediction
    except ImportError as error:
        raise UserError("the package sahi for glipkit's model in SAHI", 'none installed',
                        "pip install 'glipkit[sahi]'") from error

    class PredictorModel(DetectionModel):
        """A predictor and what it is asked."""

        def set_model(self, model: tuple[Predictor, dict[str, Any]], **_: Any) -> None:
            self.model = model

        def perform_inference(self, image: np.ndarray) -> None:
            self.perform_batch_inference([image])

        def perform_batch_inference(self, images: Sequence[np.ndarray]) -> None:
            predictor, asked = self.model
            # SAHI's arrays are RGB.
            self._original_predictions = predictor(
                [np.ascontiguousarray(image[..., :3]) for image in images],
                **{**asked, 'channel_order': 'rgb', 'score_threshold': self.confidence_threshold})

        def _create_object_prediction_list_from_original_predictions(
                self, shift_amount_list: Any = None, full_shape_list: Any = None) -> None:
            found: list[Detections] = self._original_predictions
            shifts = _each(shift_amount_list, len(found), [0, 0])
            shapes = _each(full_shape_list, len(found), None)
            self._object_prediction_list_per_image = [
                [ObjectPrediction(bbox=[float(value) for value in box], category_id=label,
                                  category_name=name, score=score, shift_amount=shift,
                                  full_shape=shape)
                 for box, score, label, name in one if (box[2:] > box[:2]).all()]
                for one, shift, shape in zip(found, shifts, shapes)]

    return PredictorModel


def _each(values: Any, count: int, default: Any) -> list:
    """SAHI's argument for some images, of which one may come without a list around it."""
    if values is None or len(values) == 0:
        return [default] * count
    return [values] if np.ndim(values[0]) == 0 else list(values)
