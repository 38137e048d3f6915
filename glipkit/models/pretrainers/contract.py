"""What all pre-trainings have in common: mmengine's modes, and parts that do not learn."""
from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.models.pretrainers.teacher import FrozenTeacher
from glipkit.text.encoders.contract import TextEncoder
from glipkit.text.query import Query
from glipkit.text.tokenizers.contract import Tokenizer


class Pretrainer(BaseModel):
    """Images with texts in, losses out; the towers are what is kept.

    Mode ``loss`` gives a dict of losses, mode ``predict`` the samples with what the subclass adds,
    mode ``tensor`` the features of the images. Images are (B, 3, H, W), normalised and padded with
    0 on the right and bottom.

    Args:
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.
    """

    def __init__(self, data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.frozen_parts: list[FrozenTeacher] = []

    def hold(self, part: nn.Module) -> FrozenTeacher:
        """Freezes a part for good and keeps it in evaluation mode; the caller registers it."""
        self.frozen_parts.append(FrozenTeacher(part))
        return self.frozen_parts[-1]

    def train(self, mode: bool = True) -> Pretrainer:
        """Training mode for all parts but the frozen ones."""
        super().train(mode)
        for part in getattr(self, 'frozen_parts', ()):
            part.hold()
        return self

    def forward(self, inputs: Tensor, data_samples: Sequence[DetDataSample] | None = None,
                mode: str = 'tensor') -> Any:
        """mmengine's three modes."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.image_features(inputs)

    @abstractmethod
    def loss(self, images: Tensor, samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Losses of one batch."""

    @abstractmethod
    def predict(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[DetDataSample]:
        """The samples, with what this pre-training can say about them."""

    @abstractmethod
    def image_features(self, images: Tensor) -> Tensor:
        """(B, D) features of the images."""


def captions_of(samples: Sequence[DetDataSample]) -> list[str]:
    """The caption of each sample.

    Raises:
        UserError: A sample has class names, or no text.
    """
    queries = [Query.of_sample(sample) if 'text' in sample or 'query' in sample else Query()
               for sample in samples]
    for query in queries:
        if not query.is_caption:
            raise UserError('a caption with every image of this pre-training',
                            f'the class names {list(query.text)[:3]}' if query.text else 'none',
                            'train on a data set of image-text pairs, such as ImageCaptions')
    return [query.caption for query in queries]


def sentence_features(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """(B, D) features of texts by an encoder of sentences, as it gives them.

    A text that is too long for the encoder loses its last words. (The official code cuts off the
    end marker, at which a text is read, so that all such texts have the same feature.)
    """
    tokenizer, limit = encoder.tokenizer, encoder.max_positions
    return encoder(tokenizer([_fitting(text, tokenizer, limit) for text in texts], limit,
                             truncate=True)).hidden[:, 0]


def _fitting(text: str, tokenizer: Tokenizer, limit: int) -> str:
    """The text, or as many of its words as fit; at least one."""
    if tokenizer.length(text) <= limit:
        return text
    words = text.split()
    count = bisect_left(range(len(words)), True, lo=1, key=lambda n: tokenizer.length(
        ' '.join(words[:n + 1])) > limit)
    return ' '.join(words[:count])


def check_sentences(encoder: TextEncoder) -> None:
    """Refuses an encoder of tokens.

    Raises:
        UserError: It has a row of features for every token.
    """
    if encoder.token_features:
        raise UserError('a text encoder with one row of features per text',
                        f'{type(encoder).__name__}, which has one per token',
                        'write text_encoder=dict(type="glipkit.ClipTextEncoder", ...)')
