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

from glipkit.models.alignment.cosine import cosine_logits
from glipkit.models.alignment.label_pooling import Pool, pool_names
from glipkit.models.detectors.region_tensors import RegionTensors
from glipkit.models.detectors.region_words import RegionWords, labelled, stack_logits
from glipkit.models.proposals.contract import boxes_of_images, image_size, propose
from glipkit.models.roi_heads.masks import mask_loss, paste_masks
from glipkit.models.roi_heads.postprocess import RegionSettings, detections, to_original
from glipkit.registry import MODELS
from glipkit.text.query import Query


@MODELS.register_module()
class ClipRCNN(RegionWords):
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
        max_tokens: Largest number of tokens of a label in its template; None for what the text
            encoder reads.
        text_bank: Arguments of :meth:`TextBank.read`, ``path`` and perhaps ``names``: a file whose
            embeddings classes take that have a name in it, instead of the text encoder's.
        test_cfg: Fields of :class:`RegionSettings`.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.

    Attributes:
        label_embeddings: Turns words into class embeddings, and remembers them.
    """

    def __init__(self, backbone: dict, text_encoder: dict, roi_head: dict,
                 box_source: dict | None = None,
                 templates: str | Sequence[str] = 'imagenet_and_name',
                 temperature: float = 0.01, max_tokens: int | None = None,
                 text_bank: dict | None = None, test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(backbone, text_encoder, box_source, templates, temperature, max_tokens,
                         text_bank, data_preprocessor, init_cfg)
        self.roi_head = MODELS.build(roi_head)
        self.test_settings = RegionSettings(**(test_cfg or {}))
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
        regions = [self.roi_head.sample(one.bboxes, labelled(sample.gt_instances))
                   for one, sample in zip(proposed, batch_data_samples)]
        maps, features = self.backbone.region_features(self.backbone(batch_inputs)[0],
                                                       [one.boxes for one in regions])
        split = features.split([len(one.boxes) for one in regions])
        logits = stack_logits([self._logits(one, Query.of_sample(sample))
                           for one, sample in zip(split, batch_data_samples)])
        losses = self.roi_head.losses(regions, logits, features)
        if self.roi_head.mask_head is not None:
            holds = torch.cat([one.labels for one in regions]) >= 0
            losses['loss_mask'] = mask_loss(
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
        if self.test_settings.name_regions:
            asked = len(self.label_names(Query.of_sample(sample)))
            sample.pred_regions = InstanceData(scores=logits[:, :asked])
        if self.test_settings.regress_boxes:
            boxes = self.roi_head.decode(features, boxes)
        found = detections(boxes, logits.softmax(1)[:, :-1], proposed.get('logits'), size,
                           self.test_settings)
        if self.roi_head.mask_head is not None:
            found.mask_logits = self.roi_head.mask_head(
                self.backbone.region_features(level, [found.bboxes])[0])
        del found.regions
        scale = sample.get('scale_factor') if rescale else None
        original = sample.get('ori_shape') if rescale else size
        found = to_original(found, original, scale)
        if 'mask_logits' in found:
            found.masks = paste_masks(found.pop('mask_logits'), found.bboxes,
                                      (original or size)[:2])
        return found

    # -- features and scores of what the caller gives --------------------------------------------

    def tensor_form(self, query: Query) -> RegionTensors:
        """See :meth:`GroundingDetector.tensor_form`; boxes only."""
        return RegionTensors(self, dict(embeddings=self._matrix(query)), self._pool(query))

    def score_regions(self, image: Tensor, regions: Tensor, pool: Pool,
                      embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Where regions are moved, (N, 4), and probabilities of labels (N, K), as in prediction.

        Args:
            image: (1, 3, H, W), normalised.
            regions: (N, 4), xyxy pixels of the image.
            pool: Labels of the names.
            embeddings: Embeddings of the names, (M, D).
        """
        _, features = self.backbone.region_features(self.backbone(image)[0], [regions])
        logits = cosine_logits(features, embeddings, self.temperature)
        scores = pool_names(logits, pool, background=True).softmax(1)[:, :-1]
        if self.test_settings.regress_boxes:
            regions = self.roi_head.decode(features, regions)
        return regions, scores

    def region_features(self, images: Tensor, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings of regions, not of length 1.

        Args:
            images: (B, 3, H, W), normalised.
            boxes: Per image (N, 4), xyxy pixels of ``images``; N may be 0. What lies outside of
                the image counts as zeros of the map.

        Returns:
            Per image (N, D), in the order of the boxes.

        Raises:
            UserError: Boxes for another number of images, of another shape, or not finite.
        """
        boxes = boxes_of_images(boxes, images)
        _, features = self.backbone.region_features(self.backbone(images)[0], boxes)
        return list(features.split([len(one) for one in boxes]))
