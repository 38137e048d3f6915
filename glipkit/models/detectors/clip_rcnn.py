"""RegionCLIP's detector: boxes from anywhere in, the words that describe each of them out.

Zhong et al., "RegionCLIP: Region-based Language-Image Pretraining", CVPR 2022, section 3; in its
form with the map of stride 16 (C4). B images, N boxes of an image, R of all, K labels, D channels.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.models.alignment.cosine import cosine_logits
from glipkit.models.alignment.label_embeddings import LabelEmbeddings
from glipkit.models.contract import GroundingDetector
from glipkit.models.proposals.contract import BoxSource, image_size, propose
from glipkit.models.roi_heads.clip_mask_head import paste_masks
from glipkit.models.roi_heads.postprocess import RegionSettings, detections, to_original
from glipkit.registry import MODELS
from glipkit.text.bank import TextBank
from glipkit.text.phrases import extract_phrases
from glipkit.text.prompts import class_prompt, phrase_prompt
from glipkit.text.query import Query
from glipkit.text.structures import Prompt
from glipkit.text.templates import clean_name, find_templates


@MODELS.register_module()
class ClipRCNN(GroundingDetector):
    """A CLIP ResNet whose regions are compared with the embeddings of words.

    Image and text do not see each other: a class list is embedded once, and any number of
    classes costs one product. The text encoder never trains. Sample field ``proposals`` (see
    :mod:`glipkit.models.proposals.contract`) wins over the source of boxes.

    Args:
        backbone: Config of the tower, such as `glipkit.ClipResNet`.
        text_encoder: Config of a sentence encoder of the tower's embedding width.
        roi_head: Config of `glipkit.ClipRoIHead`.
        box_source: Config of the source of boxes; a source has no weights here.
        templates: Name or sentences of the templates that a label's words are put in.
        temperature: Divisor of the cosines; it does not train.
        text_bank: Arguments of :meth:`TextBank.read`, ``path`` and perhaps ``names``: a file whose
            embeddings classes take that have a name in it, instead of the text encoder's.
        test_cfg: Fields of :class:`RegionSettings`.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.

    Attributes:
        label_embeddings: Turns words into class embeddings, and remembers them.
    """

    fixed_groups = ('text_encoder', )

    def __init__(self, backbone: dict, text_encoder: dict, roi_head: dict,
                 box_source: dict | None = None,
                 templates: str | Sequence[str] = 'imagenet_and_name',
                 temperature: float = 0.01, text_bank: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        tower, words = MODELS.build(backbone), MODELS.build(text_encoder)
        super().__init__(words.max_positions, data_preprocessor, init_cfg)
        if tower.embed_dim != words.hidden_size:
            raise UserError(f'a text encoder of {tower.embed_dim} channels, as the backbone has',
                            f'{words.hidden_size}', 'give both the same embed_dim')
        self.backbone, self.text_encoder = tower, words
        self.roi_head = MODELS.build(roi_head)
        self.box_source: BoxSource = MODELS.build(box_source or dict(type='glipkit.GridBoxes'))
        self.temperature = temperature
        self.templates = find_templates(templates)
        self.label_embeddings = LabelEmbeddings()
        if text_bank is not None:
            bank = TextBank.read(**text_bank)
            self.set_bank(bank.names, bank.embeddings)
        self.test_settings = RegionSettings(**(test_cfg or {}))
        self.check_tokenizer()
        self.text_encoder.requires_grad_(False)
        self.frozen_parts = [self.text_encoder]
        self.train(self.training)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Groups of parts, from the input to the scores; every parameter is in exactly one part.

        The backbone's parts are stem and stages; its pooling, which puts regions beside words, is
        the group ``alignment``.
        """
        *stages, pooling = self.backbone.layer_groups()
        return dict(backbone=stages, text_encoder=self.text_encoder.layer_groups(),
                    alignment=[pooling], **self.roi_head.layer_groups())

    # -- the three modes of mmdet ---------------------------------------------------------------

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: Sequence[DetDataSample]) -> dict[str, list[Tensor]]:
        """Raw outputs per image: dict(boxes (N, 4), features (N, D), logits (N, K + 1), deltas).

        Logits are cosines over the temperature with the background last; ``deltas`` (N, 4) are the
        output of the box layer. Each sample needs ``text`` only.
        """
        boxes = self.propose_boxes(batch_inputs, batch_data_samples)
        features = self.region_features(batch_inputs, boxes)
        return dict(boxes=boxes, features=features,
                    deltas=[self.roi_head.bbox_pred(one) for one in features],
                    logits=[self._logits(one, Query.of_sample(sample))
                            for one, sample in zip(features, batch_data_samples)])

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Losses loss_cls, loss_bbox and, with a mask head, loss_mask.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text`` and ``gt_instances``: bboxes (G, 4), exclusive
                xyxy pixels of the input image, labels (G,), and masks for a mask head. G may be 0,
                and so may be the number of proposed boxes. A label without boxes is a negative
                for all regions.

        Raises:
            UserError: The text encoder was set to train.
        """
        self._check_frozen()
        proposed = propose(self.box_source, batch_inputs, batch_data_samples)
        regions = [self.roi_head.sample(one.bboxes, _labelled(sample.gt_instances))
                   for one, sample in zip(proposed, batch_data_samples)]
        maps, features = self.backbone.region_features(self.backbone(batch_inputs)[0],
                                                       [one.boxes for one in regions])
        split = features.split([len(one.boxes) for one in regions])
        logits = _stacked([self._logits(one, Query.of_sample(sample))
                           for one, sample in zip(split, batch_data_samples)])
        losses = self.roi_head.losses(regions, logits, features)
        if self.roi_head.mask_head is not None:
            holds = torch.cat([one.labels for one in regions]) >= 0
            losses['loss_mask'] = self.roi_head.mask_head.loss(
                self.roi_head.mask_head(maps[holds]),
                [one.boxes[:len(one.matched)] for one in regions],
                [one.matched for one in regions],
                [sample.gt_instances.masks for sample in batch_data_samples])
        return losses

    def predict(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample],
                rescale: bool = True) -> list[DetDataSample]:
        """Detections of every image in ``pred_instances``: bboxes, scores, labels, best first.

        With a mask head also ``masks``, bool, of the size of the image in which the boxes are.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text``: class names, which labels index, or a
                caption, whose phrases are the labels by their words alone.
            rescale: Return boxes in the original image where the sample has a ``scale_factor``.
        """
        maps = self.backbone(batch_inputs)[0]
        proposed = propose(self.box_source, batch_inputs, batch_data_samples)
        for i, (sample, one) in enumerate(zip(batch_data_samples, proposed)):
            sample.pred_instances = self._detect(maps[i:i + 1], sample, one,
                                                 image_size(sample, batch_inputs), rescale)
        return list(batch_data_samples)

    def _detect(self, level: Tensor, sample: DetDataSample, proposed: InstanceData,
                size: tuple[int, int], rescale: bool) -> InstanceData:
        """Detections of one image from its map (1, C, h, w)."""
        boxes = proposed.bboxes
        _, features = self.backbone.region_features(level, [boxes])
        logits = self._logits(features, Query.of_sample(sample)).float()
        if self.test_settings.regress_boxes:
            boxes = self.roi_head.decode(features, boxes)
        found = detections(boxes, logits.softmax(1)[:, :-1], proposed.get('logits'), size,
                           self.test_settings)
        masks = None
        if self.roi_head.mask_head is not None:
            found.mask_logits = self.roi_head.mask_head(
                self.backbone.region_features(level, [found.bboxes])[0])
        del found.regions
        scale = sample.get('scale_factor') if rescale else None
        original = sample.get('ori_shape') if rescale else size
        found = to_original(found, original, scale)
        if 'mask_logits' in found:
            masks = paste_masks(found.pop('mask_logits'), found.bboxes, (original or size)[:2])
            found.masks = masks
        return found

    # -- features and scores of what the caller gives --------------------------------------------

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> the map (B, C, h, w) of stride 16."""
        return self.backbone(batch_inputs)

    def image_features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> embeddings (B, D) as CLIP's, not of length 1."""
        return self.backbone.embed_image(images)

    def region_features(self, images: Tensor, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings of regions, not of length 1.

        Args:
            images: (B, 3, H, W), normalised.
            boxes: Per image (N, 4), xyxy pixels of ``images``; N may be 0. What lies outside of
                the image counts as zeros of the map.

        Returns:
            Per image (N, D), in the order of the boxes.
        """
        boxes = [one.to(images) for one in boxes]
        _, features = self.backbone.region_features(self.backbone(images)[0], boxes)
        return list(features.split([len(one) for one in boxes]))

    def text_features(self, texts: Sequence[str],
                      templates: str | Sequence[str] | None = None) -> Tensor:
        """Embeddings (K, D) of texts, not of length 1.

        Args:
            texts: K texts.
            templates: Name or sentences of templates that each text is put in, whose features are
                averaged; None takes the texts as they are.
        """
        return self.label_embeddings(self.text_encoder, texts, templates)

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
        self.label_embeddings.set_bank([_words(name) for name in names], matrix)

    def classify_regions(self, images: Tensor, boxes: Sequence[Tensor],
                         query: Query) -> list[Tensor]:
        """See :meth:`GroundingDetector.classify_regions`."""
        matrix = self._matrix(query)
        return [cosine_logits(one, matrix, self.temperature, background=False).softmax(1)
                for one in self.region_features(images, boxes)]

    def propose_boxes(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[Tensor]:
        """See :meth:`GroundingDetector.propose_boxes`."""
        return [one.bboxes for one in propose(self.box_source, images, samples)]

    # -- the words ------------------------------------------------------------------------------

    @property
    def prompt_budget(self) -> int:
        """Largest number of tokens of one label with its template."""
        return self.max_tokens

    def build_prompts(self, query: Query) -> list[Prompt]:
        """A prompt for each label, which holds its words alone; for captions those of a phrase."""
        if not query.is_caption:
            written = query.caption_prompt or {}
            return [class_prompt([name], caption_prompt=written, start=i) if name in written
                    else Prompt(words := _words(name), (((0, len(words)), ), ), (name, ), i)
                    for i, name in enumerate(query.classes)]
        phrases = query.phrases
        if phrases is None:
            phrases = extract_phrases(query.caption)
        if not len(phrases):
            raise UserError('a caption with at least one phrase to ground', repr(query.caption),
                            'name its character spans in `phrases`')
        return [Prompt(words, (((0, len(words)), ), ), (words, ), i)
                for i, words in enumerate(phrase_prompt(query.caption, phrases).names)]

    def _matrix(self, query: Query) -> Tensor:
        """Class embeddings (K, D) of a query; a hand-written prompt is read as it stands."""
        words = [prompt.caption for prompt in self.prompts(query)]
        rows = self.label_embeddings(self.text_encoder, words, query.templates or self.templates)
        written = set(query.caption_prompt or ())
        chosen = [i for i, name in enumerate(query.classes or ()) if name in written]
        if chosen:
            rows = rows.clone()
            rows[chosen] = self.text_features([words[i] for i in chosen]).to(rows)
        return rows

    def _logits(self, features: Tensor, query: Query) -> Tensor:
        """Logits (N, K + 1) of features (N, D), background last."""
        return cosine_logits(features, self._matrix(query).to(features.device), self.temperature)

    def _check_frozen(self) -> None:
        if any(p.requires_grad for p in self.text_encoder.parameters()):
            raise UserError('a text encoder that does not train', 'one that is set to train',
                            'freeze it: this method learns regions for fixed words')


def _words(name: str) -> str:
    """What a template says of a class: ``flip-flop_(sandal)`` is written with a blank."""
    words = clean_name(name, identifier=True)
    if not words:
        raise UserError('class names with a letter or another sign', repr(name),
                        'rename the class, or give it a name through caption_prompt')
    return words


def _labelled(truth: InstanceData) -> InstanceData:
    """Annotations with labels: without, each box is what its own phrase says."""
    if 'labels' not in truth:
        truth = truth.clone()
        truth.labels = torch.arange(len(truth))
    return truth


def _stacked(logits: Sequence[Tensor]) -> Tensor:
    """Logits of images that were asked for different numbers of classes, as (R, K + 1)."""
    width = max(one.shape[1] for one in logits)
    if all(one.shape[1] == width for one in logits):
        return torch.cat(list(logits))
    return torch.cat([torch.cat([one[:, :-1],
                                 one.new_full((len(one), width - one.shape[1]), -torch.inf),
                                 one[:, -1:]], dim=1) for one in logits])
