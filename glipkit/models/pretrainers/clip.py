"""CLIP's pre-training: images and captions from nothing (Radford et al., ICML 2021)."""
from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.models.losses.image_text import image_text_contrast
from glipkit.models.pretrainers.contract import (
    Pretrainer,
    captions_of,
    check_sentences,
    sentence_features,
)
from glipkit.registry import MODELS


@MODELS.register_module()
class ClipPretrainer(Pretrainer):
    """Both towers learn by telling the captions of a batch apart (figure 3 of the paper).

    The state dict holds ``backbone.*``, ``text_encoder.*`` and, where it is learnt,
    ``logit_scale``, the logarithm of one over the temperature.

    Args:
        backbone: Config of a ``ClipResNet``; with ``frozen_norm=False`` and ``frozen_stages=0`` all
            of it learns.
        text_encoder: Config of a text encoder with one row per text.
        temperature: Divides cosines; the initial value where it is learnt.
        learn_temperature: Whether it is learnt.
        lowest_temperature: Bound of a learnt one, in the paper 0.01.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.

    Raises:
        UserError: A text encoder of tokens, or a temperature that is not positive.
    """

    def __init__(self,
                 backbone: dict,
                 text_encoder: dict,
                 temperature: float = 0.07,
                 learn_temperature: bool = True,
                 lowest_temperature: float = 0.01,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if not 0 < lowest_temperature or not 0 < temperature:
            raise UserError('temperatures above 0', f'{temperature} and {lowest_temperature}',
                            'correct them')
        self.backbone = MODELS.build(backbone)
        self.text_encoder = MODELS.build(text_encoder)
        check_sentences(self.text_encoder)
        self.largest_scale = math.log(1 / lowest_temperature)
        scale = torch.tensor(-math.log(temperature))
        if learn_temperature:
            self.logit_scale = nn.Parameter(scale)
        else:
            self.register_buffer('logit_scale', scale, persistent=False)

    def loss(self, images: Tensor, samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """``loss_caption`` and, for the log, the temperature.

        Raises:
            UserError: A sample without caption.
        """
        if isinstance(self.logit_scale, nn.Parameter):
            with torch.no_grad():  # the value, not its gradient, which would end at the bound
                self.logit_scale.clamp_(max=self.largest_scale)
        scale = self.logit_scale.exp()
        texts = sentence_features(self.text_encoder, captions_of(samples))
        loss = image_text_contrast(self.image_features(images), texts, scale)
        return {'loss_caption': loss, 'temperature': 1 / scale.detach()}

    def image_features(self, images: Tensor) -> Tensor:
        """(B, D) features of whole images, un-normalised."""
        return self.backbone.embed_image(images)

    def predict(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[DetDataSample]:
        """Refused: there are no boxes here.

        Raises:
            UserError: Always.
        """
        raise UserError('a detector for prediction', 'the pre-training of an image-text model',
                        'put its weights into a detector with the same towers, such as ClipRCNN')
