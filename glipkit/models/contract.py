"""The interface of every detector; tuning, labelling, tasks, prediction and export use only this.

A method's detector derives from :class:`GroundingDetector` and implements its abstract methods; no
other room asks which method it is. All values have one form: images (B, 3, H, W), normalised;
boxes (N, 4) xyxy absolute pixels with exclusive right and bottom edge; labels 0-based indices into
the classes or phrases of the query.
"""
from __future__ import annotations

import reprlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from glipkit.common.settling import settle
from glipkit.errors import UserError
from glipkit.models.backbones.towers import low_rank_layers
from glipkit.models.learned_names import LearnsNames
from glipkit.models.tensor_form import TensorForm
from glipkit.text.cache import TextFeatureCache
from glipkit.text.encoders.contract import TextEncoder
from glipkit.text.prompt_cache import PromptCache
from glipkit.text.prompts import check_class_names
from glipkit.text.query import Query
from glipkit.text.structures import CaptionPrompt, Prompt, TextFeatures, TextTokens


class DenseGrid(NamedTuple):
    """Sides in pixels: of a cell of a dense map, and of the images its tower began with."""

    cell: int
    native: int


class GroundingDetector(LearnsNames, BaseDetector):
    """Images and a query in, boxes out; mmdet's three modes, and what higher rooms need.

    A data sample holds its query in the fields that :meth:`Query.of_sample` reads. Mode ``loss``
    gives a dict of losses; mode ``predict`` gives the samples with ``pred_instances`` (bboxes,
    scores, labels), best first, in the original image where the sample has a ``scale_factor``.

    A subclass sets ``text_encoder`` (see :class:`TextEncoder`) in its constructor, after this
    one's. Prediction keeps no state in the detector: several threads may predict at once.

    Args:
        max_tokens: Largest number of tokens of one prompt in training, special ones included.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.

    Attributes:
        text_encoder: The text encoder, whose tokenizer all rooms use.
        text_cache: Text features of captions that were read before.
        frozen_parts: Modules that stay in evaluation mode, whatever :meth:`train` says.
    """

    text_encoder: TextEncoder
    #: Groups of :meth:`layer_groups` that a linear probe trains: from features to scores and boxes.
    probe_groups: ClassVar[tuple[str, ...]] = ('alignment', 'boxes')
    #: Groups of :meth:`layer_groups` that no training of this method changes.
    fixed_groups: ClassVar[tuple[str, ...]] = ()

    def __init__(self, max_tokens: int = 256, data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.max_tokens = max_tokens
        self.text_cache = TextFeatureCache()
        self.prompt_cache = PromptCache()
        self.frozen_parts: list[nn.Module] = []

    # -- what a subclass implements ---------------------------------------------------------------

    @abstractmethod
    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Groups of parts, from the input to the scores; every parameter is in exactly one part.

        ``backbone`` (the parts from the stem upwards) and ``text_encoder`` are always there, and so
        are the groups in ``probe_groups``. Freezing, rates and adapters use only these groups.
        """

    @property
    @abstractmethod
    def prompt_budget(self) -> int:
        """Largest number of tokens of one prompt in prediction, special ones included."""

    @abstractmethod
    def build_prompts(self, query: Query) -> list[Prompt]:
        """Builds the prompts of a query; :meth:`prompts` remembers them.

        The prompts together hold every phrase, or every name of ``query.asked``, once and in order,
        with its label; names of one label stand in one prompt. A method that reads no more than
        ``query.classes`` is asked class names alone: the rest is refused for it.

        Raises:
            UserError: Something in the query cannot be asked.
        """

    # -- what all have in common ------------------------------------------------------------------

    def forward(self, inputs: Tensor, data_samples: Sequence[DetDataSample] | None = None,
                mode: str = 'tensor') -> Any:
        """mmdet's three modes; in mode ``predict`` negatives and exclusive groups are settled.

        So :meth:`predict` of a method gives what the model says, with labels from the number of
        classes on for negatives, and whoever calls the detector gets what the query asks for.

        Raises:
            UserError: The weights were cast to a type that the images do not have.
        """
        if isinstance(inputs, Tensor) and inputs.is_floating_point() \
                and not torch.is_autocast_enabled(inputs.device.type):
            self._check_types(inputs.dtype)
        found = super().forward(inputs, data_samples, mode)
        if mode == 'predict':
            for sample in found:
                self.settle_learned(sample)
                settle_sample(sample)
        return found

    def _check_types(self, wanted: torch.dtype) -> None:
        """Refuses weights of another type than the images', be it in one part alone."""
        for name, weight in self.named_parameters():
            if weight.dtype != wanted and weight.is_floating_point():
                raise UserError(
                    'a model with weights in float32',
                    f'weights in {weight.dtype} ({name}; by .half(), .bfloat16(), .to(dtype) or a '
                    f'default dtype) and images in {wanted}'.replace('torch.', ''),
                    'keep the weights in float32 and compute in '
                    'torch.autocast(device, dtype=torch.bfloat16)')

    def prompts(self, query: Query) -> tuple[Prompt, ...]:
        """The prompts of a query, built once for equal queries and budgets.

        Raises:
            UserError: Not a list of different class names, or an error of `build_prompts`.
        """
        return self.prompt_cache.get((query, self.prompt_budget),
                                     lambda: self.with_learned(query, self._checked))

    def _checked(self, query: Query) -> list[Prompt]:
        if not query.is_caption:
            check_class_names(query.classes)
            check_class_names([name for name, _ in query.asked])
        prompts = self.build_prompts(query)
        if not query.is_caption:
            told = sorted((name, label) for one in prompts
                          for name, label in zip(one.names, one.labels))
            if told != sorted(query.asked):
                raise UserError('class names alone, for a model that asks nothing else',
                                f'{reprlib.repr(query.parts)}', 'leave these out')
        return prompts

    def label_names(self, query: Query) -> tuple[str, ...]:
        """The strings that labels stand for: class names as they were given, or phrases.

        Raises:
            UserError: As :meth:`prompts`.
        """
        prompts = self.prompts(query)
        return tuple(query.classes) if not query.is_caption else tuple(
            name for prompt in prompts for name in prompt.names)

    def class_prompts(self, names: Sequence[str],
                      caption_prompt: CaptionPrompt | None = None) -> tuple[Prompt, ...]:
        """The prompts that ``names`` are asked with; `prompts` for class names alone."""
        return self.prompts(Query.for_classes(names, caption_prompt))

    def tokenize(self, prompts: Sequence[Prompt]) -> TextTokens:
        """Tokens of prompts.

        Raises:
            UserError: A prompt is longer than the text encoder can read.
        """
        encoder = self.text_encoder
        return encoder.tokenizer([prompt.caption for prompt in prompts], encoder.max_positions)

    def forget_text(self) -> None:
        """Forgets what the text encoder has read."""
        self.text_cache.clear()

    def encode_text(self, tokens: TextTokens) -> TextFeatures:
        """Text features (B, T, C), remembered in evaluation."""
        return self.text_cache.encode(self.text_encoder, tokens)

    def train(self, mode: bool = True) -> GroundingDetector:
        """Training mode for all parts but the frozen ones, which stay in evaluation mode.

        A change of the mode forgets text: between the two, weights may change unseen.
        """
        if mode != self.training:
            self.forget_text()
        super().train(mode)
        for part in self.frozen_parts:
            part.eval()
        return self

    def low_rank_layers(self) -> Iterator[tuple[str, str, nn.Linear]]:
        """(layer group, full name, layer) of every linear layer that a low-rank change reaches.

        Groups that never train have none. Each module names its own layers, see
        :func:`~.backbones.towers.low_rank_layers`.
        """
        names = {id(module): name for name, module in self.named_modules()}
        for group, parts in self.layer_groups().items():
            for part in parts if group not in self.fixed_groups else ():
                for module in part.modules():
                    for layer in low_rank_layers(module):
                        yield group, names[id(layer)], layer

    def classify_regions(self, images: Tensor, boxes: Sequence[Tensor],
                         query: Query) -> list[Tensor]:
        """How well each class of a query describes each of the caller's boxes.

        Args:
            images: (B, 3, H, W), normalised.
            boxes: Per image (N, 4), exclusive xyxy pixels of ``images``; N may be 0.
            query: Class names or a caption, whose K classes or phrases are compared.

        Returns:
            Per image (N, K) from 0 to 1. Rows sum to 1: the caller says that every box holds one of
            the classes, so that no background takes part. What a negative of the query takes is
            missing in the sum.

        Raises:
            UserError: The model finds boxes itself and cannot score those of others.
        """
        raise self._no_regions()

    def region_features(self, images: Tensor, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings (N, D) of the caller's boxes, not of length 1; else as `classify_regions`."""
        raise self._no_regions()

    def propose_boxes(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[Tensor]:
        """Boxes (N, 4) of each image from the model's own source, in pixels of ``images``."""
        raise self._no_regions()

    def dense_grid(self) -> DenseGrid:
        """Sizes of the dense map, for models that have one."""
        raise self._no_cells()

    def dense_logits(self, images: Tensor, query: Query) -> Tensor:
        """How well each class of a query describes each cell of images.

        Args:
            images: (B, 3, H, W), normalised, without padding.
            query: Class names or a caption, whose K classes or phrases are compared.

        Returns:
            Logits (B, K, h, w), float32, h = ceil(H / cell) and w likewise.

        Raises:
            UserError: The model has no dense map.
        """
        raise self._no_cells()

    def tensor_form(self, query: Query) -> TensorForm:
        """This detector, asked one query, as a function of tensors alone, for export.

        Raises:
            UserError: The model has no such form, or an error of `prompts`.
        """
        raise UserError('a model that can be exported', f'a {type(self).__name__}, which has no '
                        'form of tensors alone', 'name another model')

    def _no_cells(self) -> UserError:
        return UserError('a model with a dense map, such as clipself-b16',
                         f'a {type(self).__name__}, which has none', 'name another model')

    def _no_regions(self) -> UserError:
        return UserError('a model that reads regions, such as regionclip-rn50',
                         f'a {type(self).__name__}, which finds its boxes itself',
                         'name another model')

    def use_graphs(self, wanted: bool = True) -> None:
        """Whether predictions on a GPU are recorded for each size of images, then replayed.

        Raises:
            UserError: The model is not on a GPU, or cannot be recorded.
        """
        raise UserError('a model whose work on a GPU can be recorded, such as glip-t-c',
                        f'a {type(self).__name__}', 'leave graphs out')

    def warm_up(self) -> None:  # noqa: B027
        """Prepares what threads share in prediction, before they begin; by default nothing."""

    def check_tokenizer(self) -> None:
        """Refuses a tokenizer with more tokens than the text encoder has rows.

        Raises:
            UserError: The vocabulary is larger than the encoder's embedding.
        """
        rows = getattr(self.text_encoder, 'vocab_size', None)
        needed = self.text_encoder.tokenizer.vocab_size
        if rows is not None and needed > rows:
            raise UserError(f'a tokenizer of at most {rows} tokens, the rows of the text encoder',
                            f'one of {needed}', 'give both the same vocabulary')


def settle_sample(sample: DetDataSample) -> None:
    """Takes out of a sample's detections what its query does not want, see
    :func:`~glipkit.common.settling.settle`."""
    found = sample.get('pred_instances')
    if found is None or not len(found) or (query := Query.of_sample(sample)).is_caption:
        return
    count = len(query.classes)
    if not query.exclusive and int(found.labels.max()) < count:
        return
    kept = settle(*(found[key].detach().float().cpu().numpy()
                    for key in ('bboxes', 'scores', 'labels')), count, query.groups)
    if len(kept) < len(found):
        sample.pred_instances = found[torch.from_numpy(kept).to(found.labels.device)]
