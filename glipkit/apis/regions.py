"""Boxes of the caller, in the pixels of an image as it was given, and what a model says of them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from glipkit.apis.arguments import check_channel_order
from glipkit.apis.asking import Classes, TakesNames
from glipkit.apis.batches import Prepared
from glipkit.apis.given_boxes import check_boxes
from glipkit.apis.images import list_images
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query
from glipkit.text.templates import find_templates


class RegionScorer(TakesNames):
    """The part of `Predictor` that is given boxes."""

    def classify(self, image: str | Path | np.ndarray | Image.Image, boxes: ArrayLike,
                 classes: Classes | None = None, *, templates: str | Sequence[str] = (),
                 task: str | Path | None = None,
                 channel_order: str | None = None) -> np.ndarray:
        """How well each class describes each box of one image.

        For models that read regions, such as CLIP's; a detector that finds boxes itself refuses.

        Args:
            image: A path, a PIL image or a numpy array.
            boxes: (N, 4) xyxy pixels of the image as it is given, right and bottom edge exclusive;
                N may be 0. Parts beyond the edges of the image are cut off.
            classes: K names in an order, or as in a call; None takes those of `set_classes` or of
                the task.
            templates: Sentences with ``{}`` for the name, or the name of a set in
                `glipkit.text.templates`; empty for those of the model.
            task: As in a call.
            channel_order: As in a call.

        Returns:
            (N, K) float32, the softmax over the classes: every row sums to 1, as you say that each
            box holds one of them. Where that may be wrong, add a class such as 'background', or
            ask a `Query` with negatives, whose share is then missing in the sum.

        Raises:
            UserError: For an image, a box or a class name that cannot be used, or a model that
                cannot score given boxes.
        """
        query, _, model = self._asked_names(classes, task)
        if templates:
            query = replace(query, templates=find_templates(templates))
        model.prompts(query)
        item = self._one(image, query, channel_order)
        with self.computing():
            return class_scores(model, item, boxes, query)

    def region_features(self, image: str | Path | np.ndarray | Image.Image,
                        boxes: ArrayLike | None = None, *,
                        channel_order: str | None = None) -> np.ndarray:
        """Features (N, D) float32 of boxes of one image, not of length 1.

        Args:
            image: As in `classify`.
            boxes: As in `classify`; None takes those of the model's own source.
            channel_order: As in a call.

        Raises:
            UserError: As in `classify`.
        """
        item = self._one(image, Query.for_classes(()), channel_order)
        with self.computing():
            return box_features(self.model, item, boxes)[1]

    def _one(self, image: Any, query: Query, channel_order: str | None) -> Prepared:
        """The only image of an argument, prepared."""
        sources = list_images(image)
        if len(sources) != 1:
            raise UserError('one image', f'{len(sources)}', 'call it for each of them')
        return self.prepare(sources[0], query, (),
                            check_channel_order(channel_order or self.channel_order))


def class_scores(model: GroundingDetector, item: Prepared, boxes: ArrayLike | Tensor,
                 query: Query) -> np.ndarray:
    """How well each class describes each box, (N, K) float32; see `Predictor.classify`."""
    inputs, _, scale = ready(model, item)
    here = _into(scale, boxes, item, inputs)
    with torch.no_grad():
        scores, = model.classify_regions(inputs, [here], query)
    return scores.float().cpu().numpy()


def box_features(model: GroundingDetector, item: Prepared,
                 boxes: ArrayLike | Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) in pixels of the image as it was given, and their features (N, D), float32.

    Args:
        model: Detector that reads regions.
        item: The image.
        boxes: Boxes of the caller; None takes those of the model's own source.
    """
    inputs, sample, scale = ready(model, item)
    with torch.no_grad():
        if boxes is None:
            here, = model.propose_boxes(inputs, [sample])
        else:
            here = _into(scale, boxes, item, inputs)
        features, = model.region_features(inputs, [here])
    back = here / here.new_tensor(scale).repeat(2)
    return back.float().cpu().numpy(), features.float().cpu().numpy()


def ready(model: GroundingDetector, item: Prepared) -> tuple[Tensor, Any, Sequence[float]]:
    """Normalised image (1, 3, H, W), its sample and its scale (width, height)."""
    packed = item.packed
    batch = model.data_preprocessor(dict(inputs=[packed['inputs']],
                                         data_samples=[packed['data_samples']]), False)
    sample = batch['data_samples'][0]
    return batch['inputs'], sample, sample.get('scale_factor', (1., 1.))


def _into(scale: Sequence[float], boxes: ArrayLike | Tensor, item: Prepared,
          inputs: Tensor) -> Tensor:
    """Boxes of the caller in the frame of the input image."""
    checked = check_boxes(boxes, item.packed['data_samples'].ori_shape[:2], str(item.source))
    return torch.from_numpy(checked).to(inputs) * inputs.new_tensor(scale).repeat(2)
