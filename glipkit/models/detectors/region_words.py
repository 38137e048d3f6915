"""What detectors share that compare regions with the embeddings of words.

B images, N boxes of an image, K labels, D channels.
"""
from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.errors import UserError
from glipkit.models.alignment.cosine import cosine_logits
from glipkit.models.alignment.label_embeddings import LabelEmbeddings
from glipkit.models.alignment.label_pooling import Pool, pool_names
from glipkit.models.contract import GroundingDetector
from glipkit.models.detectors import region_examples
from glipkit.models.proposals.contract import BoxSource, as_batch, propose
from glipkit.registry import MODELS
from glipkit.text.bank import TextBank
from glipkit.text.phrases import extract_phrases
from glipkit.text.prompts import class_prompt, phrase_prompt
from glipkit.text.query import Query
from glipkit.text.structures import Prompt
from glipkit.text.templates import clean_name, find_templates


class RegionWords(GroundingDetector):
    """Image and text do not see each other: a class list is embedded once, and any number of
    classes costs one product. The text encoder never trains.

    A subclass implements ``region_features``, ``layer_groups`` and the modes of mmdet.

    Args:
        backbone: Config of an image tower with ``embed_image`` and ``embed_dim``.
        text_encoder: Config of a sentence encoder of the tower's embedding width.
        box_source: Config of the source of boxes, which has no weights here; None for a grid.
        templates: Name or sentences of the templates that a label's words are put in.
        temperature: Divisor of the cosines; it does not train.
        max_tokens: Largest number of tokens of a label in its template; None for what the text
            encoder reads.
        text_bank: Arguments of :meth:`TextBank.read`, ``path`` and perhaps ``names``: a file whose
            embeddings classes take that have a name in it, instead of the text encoder's.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.

    Attributes:
        label_embeddings: Turns words into class embeddings, and remembers them.
    """

    fixed_groups = ('text_encoder', )

    def __init__(self, backbone: dict, text_encoder: dict, box_source: dict | None,
                 templates: str | Sequence[str], temperature: float, max_tokens: int | None,
                 text_bank: dict | None, data_preprocessor: dict | None,
                 init_cfg: dict | None) -> None:
        tower, words = MODELS.build(backbone), MODELS.build(text_encoder)
        super().__init__(max_tokens or words.max_positions, data_preprocessor, init_cfg)
        if tower.embed_dim != words.hidden_size:
            raise UserError(f'a text encoder of {tower.embed_dim} channels, as the backbone has',
                            f'{words.hidden_size}', 'give both the same embed_dim')
        self.backbone, self.text_encoder = tower, words
        self.box_source: BoxSource = MODELS.build(box_source or dict(type='glipkit.GridBoxes'))
        self.temperature = temperature
        self.templates = find_templates(templates)
        self.label_embeddings = self.make_label_embeddings()
        if text_bank is not None:
            bank = TextBank.read(**text_bank)
            self.set_bank(bank.names, bank.embeddings)
        self.check_tokenizer()
        self.text_encoder.requires_grad_(False)
        self.frozen_parts = [self.text_encoder]
        self.train(self.training)

    # -- what a method may do in its own way ------------------------------------------------------

    def make_label_embeddings(self) -> LabelEmbeddings:
        """How words become embeddings."""
        return LabelEmbeddings()

    def forget_text(self) -> None:
        """Forgets what the text encoder has read, and the embeddings made of it."""
        super().forget_text()
        self.label_embeddings.clear()

    def words_of(self, name: str) -> str:
        """What of a class name is put into templates.

        ``flip-flop_(sandal)`` is written with a blank.

        Raises:
            UserError: Nothing is left of the name.
        """
        return not_empty(clean_name(name, identifier=True), name)

    # -- features and scores of what the caller gives ---------------------------------------------

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> the maps of the tower."""
        return self.backbone(batch_inputs)

    def image_features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> embeddings (B, D) as CLIP's, not of length 1."""
        return self.backbone.embed_image(as_batch(images))

    def text_features(self, texts: Sequence[str],
                      templates: str | Sequence[str] | None = None) -> Tensor:
        """Embeddings (K, D) of texts, not of length 1.

        Args:
            texts: K texts.
            templates: Name or sentences of templates that each text is put in, whose features are
                averaged; None takes the texts as they are. A text that is too long is cut, with a
                warning: as in the official code its feature is then the same whatever it says.
        """
        # A copy, as the remembered embeddings are not for a caller to change.
        return self.label_embeddings(self.text_encoder, texts, templates, truncate=True).clone()

    def set_bank(self, names: Sequence[str], matrix: Tensor | None) -> None:
        """Classes of these names take their embeddings from a matrix (N, D) from now on.

        Args:
            names: N class names, as a query has them; none for no bank.
            matrix: Embeddings, not of length 1; None for no bank.

        Raises:
            UserError: The matrix has another width than the model, or other rows than names.
        """
        if matrix is not None and matrix.shape[-1] != self.text_encoder.hidden_size:
            raise UserError(f'embeddings of {self.text_encoder.hidden_size} channels, as the model '
                            'has', f'{matrix.shape[-1]}', 'make them with this text encoder')
        self.label_embeddings.set_bank([self.words_of(name) for name in names], matrix)

    def classify_regions(self, images: Tensor, boxes: Sequence[Tensor],
                         query: Query) -> list[Tensor]:
        """See :meth:`GroundingDetector.classify_regions`."""
        matrix, asked = self._matrix(query), len(self.label_names(query))
        found = (cosine_logits(one, matrix, self.temperature, background=False)
                 for one in self.region_features(images, boxes))
        return [pool_names(one, self._pool(query)).softmax(1)[:, :asked] for one in found]

    def propose_boxes(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[Tensor]:
        """See :meth:`GroundingDetector.propose_boxes`."""
        return [one.bboxes for one in propose(self.box_source, images, samples)]

    # -- names learned from examples --------------------------------------------------------------

    def compared(self, image: Tensor, boxes: Tensor) -> list[tuple[Tensor, float]]:
        """Features (N, D) of boxes in every space where detection compares them with words, and the
        divisor of the cosines there; of one image (1, 3, H, W)."""
        return [(self.region_features(image, [boxes])[0], self.temperature)]

    def example_maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`LearnsNames.example_maps`: the images themselves."""
        return (images, )

    def example_prompts(self, names: Sequence[str], negatives: Sequence[str]) -> list[Prompt]:
        """See :meth:`LearnsNames.example_prompts`."""
        return [region_examples.example_prompt(names, negatives)]

    def start_rows(self, prompt: Prompt, maps: Sequence[Sequence[Tensor]],
                   samples: Sequence[DetDataSample]) -> Tensor:
        """See :meth:`LearnsNames.start_rows`: rows of the class matrix, (E, D) of E entities."""
        return region_examples.start_rows(self, prompt, maps, samples)

    def learned_parts(self, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> dict[str, Any]:
        """See :meth:`LearnsNames.learned_parts`."""
        (prompt, ), (matrix, ) = prompts, rows
        wanted = (len(prompt), self.text_encoder.hidden_size)
        if tuple(matrix.shape) != wanted:
            raise UserError(f'features of shape {wanted}', f'{tuple(matrix.shape)}',
                            'load the task into the model it was made with')
        learned = region_examples.single_prompts(prompt)
        embeddings = copy.copy(self.label_embeddings)
        embeddings.add_to_bank([one.caption for one in learned], matrix)
        return dict(label_embeddings=embeddings, learned_prompts=learned)

    # -- the words --------------------------------------------------------------------------------

    @property
    def prompt_budget(self) -> int:
        """Largest number of tokens of one label with its template."""
        return self.max_tokens

    def build_prompts(self, query: Query) -> list[Prompt]:
        """A prompt for each label, which holds its words alone; for captions those of a phrase."""
        if not query.is_caption:
            written = query.caption_prompt or {}
            return [class_prompt([name], caption_prompt=written, start=i, labels=[label])
                    if name in written else
                    Prompt(words := self.words_of(name), (((0, len(words)), ), ), (name, ), i,
                           (label, ))
                    for i, (name, label) in enumerate(query.asked)]
        phrases = query.phrases
        if phrases is None:
            phrases = extract_phrases(query.caption)
        if not len(phrases):
            raise UserError('a caption with at least one phrase to ground', repr(query.caption),
                            'name its character spans in `phrases`')
        return [Prompt(words, (((0, len(words)), ), ), (words, ), i)
                for i, words in enumerate(phrase_prompt(query.caption, phrases).names)]

    def _matrix(self, query: Query) -> Tensor:
        """Embeddings (N, D) of the N names of a query; a hand-written prompt is read as it stands.
        """
        prompts = self.prompts(query)
        words = [prompt.caption for prompt in prompts]
        rows = self.label_embeddings(self.text_encoder, words, query.templates or self.templates)
        written = set(query.caption_prompt or ())
        chosen = [i for i, prompt in enumerate(prompts) if prompt.names[0] in written]
        if chosen:
            rows = rows.clone()
            rows[chosen] = self.label_embeddings(
                self.text_encoder, [words[i] for i in chosen]).to(rows)
        return rows

    def _logits(self, features: Tensor, query: Query) -> Tensor:
        """Logits (N, K + 1) of features (N, D), background last; negatives follow the classes."""
        logits = cosine_logits(features, self._matrix(query).to(features.device), self.temperature)
        return pool_names(logits, self._pool(query), background=True)

    def _pool(self, query: Query) -> Pool:
        """The labels of the rows of `_matrix`."""
        return Pool.of(self.prompts(query), query)

    def _of_labels(self, flags: Tensor, query: Query) -> Tensor:
        """Which labels have a name that is marked: (M,) bool of the names -> (K,)."""
        return pool_names(flags.float(), Pool(self._pool(query).labels)).bool()

    def _check_frozen(self) -> None:
        if any(p.requires_grad for p in self.text_encoder.parameters()):
            raise UserError('a text encoder that does not train', 'one that is set to train',
                            'freeze it: this method learns regions for fixed words')


def not_empty(words: str, name: str) -> str:
    if not words:
        raise UserError('class names with a letter or another sign', repr(name),
                        'rename the class, or give it a name through caption_prompt')
    return words


def labelled(truth: InstanceData) -> InstanceData:
    """Annotations with labels: without, each box is what its own phrase says."""
    if 'labels' not in truth:
        truth = truth.clone()
        truth.labels = torch.arange(len(truth))
    return truth


def stack_logits(logits: Sequence[Tensor]) -> Tensor:
    """Logits of images that were asked for different numbers of classes, as (R, K + 1)."""
    width = max(one.shape[1] for one in logits)
    if all(one.shape[1] == width for one in logits):
        return torch.cat(list(logits))
    return torch.cat([torch.cat([one[:, :-1],
                                 one.new_full((len(one), width - one.shape[1]), -torch.inf),
                                 one[:, -1:]], dim=1) for one in logits])
