"""A detector with one question as a function of tensors: what an exporter can write down.

A form wraps the detector's own modules, in the forms of their kernels that exporters can follow.
What the words of a question become in the model is a tensor beside the image, so that it may stay
an input of the exported graph or be kept inside.
"""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.ops import nms

Axes = Mapping[str, Mapping[int, str]]
"""Tensor -> its axes of any length -> a name for each length."""


class TensorForm(nn.Module):
    """What :meth:`GroundingDetector.tensor_form` gives.

    ``forward(image, *inputs, *words)`` gives the tensors in ``outputs``. ``image`` is (1, 3, H, W),
    normalised and padded.

    Args:
        words: What the model knows of the question, name -> tensor.

    Attributes:
        inputs: Names and shapes of what the graph needs beside the image and the words; -1 is any
            length.
        outputs: Names of the results.
        axes: Axes of any length of all but the image.
        rules: What the results mean, for JSON: see :mod:`glipkit.runtime.rules`.
    """

    inputs: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    outputs: ClassVar[tuple[str, ...]]
    axes: ClassVar[Axes]
    #: Pixels of which both sides of the image are multiples.
    divisor: int = 1
    #: Whether exporters can follow it through images of any size.
    any_size: bool = True
    #: Whether the words may be an input: every label has one name, and so no number is fixed.
    open: bool = True

    def __init__(self, words: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.words = dict(words)

    @property
    @abstractmethod
    def rules(self) -> dict[str, Any]:
        """What the results mean, and how detections come out of them."""

    @abstractmethod
    def candidates(self, results: tuple[Tensor, ...], starts: Tensor) -> tuple[Tensor, ...]:
        """Boxes (M, 4), scores and labels (M,) of the results, without those that are too low.

        Args:
            results: The outputs.
            starts: (P,), label of the first name of each prompt; (1,) where there are no prompts.
        """


class Suppressed(nn.Module):
    """A form whose results are detections: suppression happens in the graph.

    Called with an image, its size (2,) without padding (height, width), and what the form takes,
    after the words the labels at which prompts start. Gives boxes (M, 4) in the frame of the image,
    scores and labels (M,), best first.
    """

    outputs = ('boxes', 'scores', 'labels')
    axes: ClassVar[Axes] = {name: {0: 'detections'} for name in outputs}

    def __init__(self, form: TensorForm) -> None:
        super().__init__()
        self.form = form

    def forward(self, image: Tensor, image_size: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        *inputs, starts = rest
        rules = self.form.rules
        boxes, scores, labels = self.form.candidates(self.form(image, *inputs), starts)
        limit = (image_size.flip(0) - rules['edge']).to(boxes.dtype).repeat(2)
        boxes = torch.minimum(boxes.clamp(min=0), limit)
        # Labels stand apart, so that none suppresses another one.
        apart = labels.to(boxes.dtype) * (limit.max() + 2)
        kept = nms(boxes + apart[:, None], scores, rules['nms_iou'])
        kept = kept[:rules['max_per_image']]
        return boxes[kept], scores[kept], labels[kept]
