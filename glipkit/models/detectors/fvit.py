"""F-ViT: a frozen CLIP image transformer as the backbone of a detector of any words.

Wu et al., "CLIPSelf: Vision Transformer Distills Itself for Open-Vocabulary Dense Prediction",
ICLR 2024, F-ViT. B images, N boxes of an image, K labels, D channels of an embedding.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.models.alignment.cosine import cosine_logits
from glipkit.models.alignment.label_pooling import Pool, pool_names
from glipkit.models.alignment.region_pooling import pool_boxes
from glipkit.models.alignment.score_fusion import blend_scores
from glipkit.models.detectors.class_sets import ClassSet
from glipkit.models.detectors.dense_clip import DenseClip
from glipkit.models.detectors.fvit_settings import FVitSettings, check_taps
from glipkit.models.detectors.region_tensors import RegionTensors
from glipkit.models.detectors.region_words import labelled, stack_logits
from glipkit.models.necks.vit_pyramid import ViTPyramid
from glipkit.models.proposals.contract import boxes_of_images, image_size, plain_boxes, propose
from glipkit.models.roi_heads.box_deltas import move
from glipkit.models.roi_heads.masks import paste_masks
from glipkit.models.roi_heads.postprocess import detections, to_original
from glipkit.registry import MODELS
from glipkit.text.query import Query


@MODELS.register_module()
class FVit(DenseClip):
    """Layers of the tower feed a pyramid, boxes come from a proposal head, classes from words.

    Two classifiers are blended: the trained box head, and the dense map of the frozen tower, which
    knows words that were never boxed. An image stands left and above in a square filled up with
    zeros, its mean colour, as in the official code. Sample field ``proposals`` (see
    :mod:`glipkit.models.proposals.contract`) wins over the proposal head.

    Args:
        backbone: Config of the tower, such as `glipkit.EvaViT` or `glipkit.ClipViT`; never trains.
        text_encoder: Config of a sentence encoder of the tower's embedding width; never trains.
        taps: Four layers of the tower from 0, the last one among them.
        neck: Config of a feature pyramid network on four maps of the tower's width.
        rpn_head: Config of mmdet's proposal head, with ``train_cfg`` and ``test_cfg``.
        roi_head: Config of `glipkit.FVitRoIHead`.
        norm_cfg: Config of the norm in front of the pyramid.
        background: The word for what is none of the labels.
        ignored_classes: Names that are no negatives in training, as a list or as the address of a
            split such as ``'ov-coco/novel'``: a batch that asks for them leaves them out of the
            softmax.
        templates: Name or sentences of the templates that a label's words are put in.
        max_tokens: Largest number of tokens of a label in its template; None for what the text
            encoder reads.
        text_bank: Arguments of :meth:`TextBank.read`: embeddings that classes take instead.
        test_cfg: Fields of :class:`FVitSettings`.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.

    Raises:
        UserError: Taps that the tower does not have, or a setting out of its range.
    """

    probe_groups = ('alignment', 'boxes')
    fixed_groups = ('backbone', 'text_encoder')

    def __init__(self, backbone: dict, text_encoder: dict, taps: Sequence[int], neck: dict,
                 rpn_head: dict, roi_head: dict, norm_cfg: dict | None = None,
                 background: str = 'background',
                 ignored_classes: str | Sequence[str] | None = None,
                 templates: str | Sequence[str] = 'detection', max_tokens: int | None = None,
                 text_bank: dict | None = None, test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        settings = FVitSettings(**(test_cfg or {}))
        super().__init__(backbone, text_encoder, None, templates, 1 / settings.vlm_temperature,
                         max_tokens, text_bank, True, None, data_preprocessor, init_cfg)
        self.test_settings = settings
        self.taps, self.background = check_taps(taps, len(self.backbone.layers)), background
        self.pyramid = ViTPyramid(self.backbone.width, norm_cfg)
        self.neck = MODELS.build(neck)
        self.rpn_head = MODELS.build(rpn_head)
        self.roi_head = MODELS.build(roi_head)
        self._ignored = ClassSet(ignored_classes or ())
        self.backbone.requires_grad_(False)
        self.frozen_parts = [self.backbone, self.text_encoder]
        self.train(self.training)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Groups of parts, from the input to the scores; every parameter is in exactly one part.

        ``neck`` and ``proposals`` stand between the frozen backbone and the heads.
        """
        return dict(backbone=self.backbone.layer_groups(),
                    text_encoder=self.text_encoder.layer_groups(), neck=[self.pyramid, self.neck],
                    proposals=[self.rpn_head], **self.roi_head.layer_groups())

    # -- maps -------------------------------------------------------------------------------------

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W), normalised -> five levels of the pyramid, of the images' square."""
        return self._levels(self._look(batch_inputs))

    def dense_features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> an embedding of each patch, (B, D, h, w).

        They have length 1. A patch that begins inside the image counts: h = ceil(H / patch), and
        w likewise.
        """
        height, width = (-(-side // self.backbone.stride) for side in images.shape[-2:])
        return self.backbone.dense_map(self._square(images))[..., :height, :width]

    def _square(self, images: Tensor) -> Tensor:
        """Images in the smallest square of whole patches."""
        height, width = images.shape[-2:]
        stride = self.backbone.stride
        side = -(-max(height, width) // stride) * stride
        return F.pad(images, (0, side - width, 0, side - height))

    def _look(self, images: Tensor) -> list[Tensor]:
        """The tapped layers of the frozen tower, (B, C, h, w) each."""
        with torch.no_grad():
            return self.backbone.tap_features(self._square(images), self.taps)

    def _levels(self, taps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return self.neck(self.pyramid(taps))

    def _alone(self, images: Tensor, i: int, sample: DetDataSample) -> Tensor:
        """One image (1, 3, H, W) of a batch, in its own square, whatever its neighbours are."""
        stride = self.backbone.stride
        side = -(-max(image_size(sample, images)) // stride) * stride
        return self._square(images[i:i + 1, :, :side, :side])

    # -- the three modes of mmdet -----------------------------------------------------------------

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: Sequence[DetDataSample]) -> dict[str, list[Tensor]]:
        """Raw outputs per image: boxes (N, 4), logits (N, K + 1) of the box head with the
        background last, scores (N, K + 1) after blending, deltas (N, 4)."""
        found: dict[str, list[Tensor]] = dict(boxes=[], logits=[], scores=[], deltas=[])
        for i, sample in enumerate(batch_data_samples):
            image = self._alone(batch_inputs, i, sample)
            taps = self._look(image)
            levels = self._levels(taps)
            boxes = self._propose(levels, image, sample)
            for name, value in zip(found, (boxes, *self._classify(taps, levels, boxes, sample))):
                found[name].append(value)
        return found

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Losses loss_rpn_cls, loss_rpn_bbox, loss_cls, loss_bbox and, with a mask head, loss_mask.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text`` and ``gt_instances``: bboxes (G, 4), exclusive
                xyxy pixels of the input image, labels (G,), and masks for a mask head. G may be 0.
                A label without boxes is a negative for all regions, unless it is ignored.

        Raises:
            UserError: A box of an ignored class, or the text encoder was set to train.
        """
        self._check_frozen()
        images = self._square(batch_inputs)
        truths = [labelled(sample.gt_instances) for sample in batch_data_samples]
        levels = self.extract_feat(images)
        losses, found = self.rpn_head.loss_and_predict(
            levels, [_of_one_class(sample, truth, images)
                     for sample, truth in zip(batch_data_samples, truths)])
        losses = {name: sum(values) for name, values in losses.items()}
        regions = [self.roi_head.sample(_preferred(sample, own, images), truth)
                   for sample, own, truth in zip(batch_data_samples, found, truths)]
        embeddings, deltas = self.roi_head(levels, [one.boxes for one in regions])
        logits = stack_logits([
            self._trained_logits(own, sample, truth) for own, sample, truth in zip(
                embeddings.split([len(one.boxes) for one in regions]), batch_data_samples, truths)])
        return losses | self.roi_head.losses(levels, regions, logits, deltas,
                                             [truth.get('masks') for truth in truths])

    def _trained_logits(self, embeddings: Tensor, sample: DetDataSample,
                        truth: InstanceData) -> Tensor:
        """Logits (R_i, K + 1) of the box head; -inf for an ignored class."""
        query = Query.of_sample(sample)
        logits = pool_names(self.roi_head.bbox_head.logits(embeddings, self._words(query)),
                            self._pool(query), background=True)
        ignored = self._of_labels(self._ignored.holds(self._names(query)), query).to(logits.device)
        wrong = ignored[truth.labels.to(logits.device)].nonzero()
        if len(wrong):
            name = self.label_names(query)[int(truth.labels[int(wrong[0])])]
            raise UserError('training boxes of classes that are not ignored', f'one of {name!r}',
                            'leave the box out, or take the class out of ignored_classes')
        return logits.masked_fill(F.pad(ignored, (0, 1)), -torch.inf)

    def predict(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample],
                rescale: bool = True) -> list[DetDataSample]:
        """Detections of every image in ``pred_instances``: bboxes, scores, labels, best first.

        With a mask head also ``masks``, bool, of the size of the image in which the boxes are.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text``: class names, which labels index, or a
                caption, whose phrases are the labels by their words alone. One with ``ask`` gets
                what :class:`DenseWords` says of the tower's map instead.
            rescale: Return boxes in the original image where the sample has a ``scale_factor``.
        """
        for i, sample in enumerate(batch_data_samples):
            if 'ask' in sample:
                self.answer(batch_inputs[i:i + 1], sample)
                continue
            image = self._alone(batch_inputs, i, sample)
            sample.pred_instances = self._find(image, sample, image_size(sample, batch_inputs),
                                               rescale)
        return list(batch_data_samples)

    def _find(self, image: Tensor, sample: DetDataSample, size: tuple[int, int],
              rescale: bool) -> InstanceData:
        """Detections of one image (1, 3, H, W) whose size without filling is this."""
        taps = self._look(image)
        levels = self._levels(taps)
        boxes = self._propose(levels, image, sample)
        _, scores, deltas = self._classify(taps, levels, boxes, sample)
        scores = scores[:, :-1]
        if self.test_settings.name_regions:
            asked = len(self.label_names(Query.of_sample(sample)))
            sample.pred_regions = InstanceData(scores=scores[:, :asked])
        if self.test_settings.regress_boxes:
            boxes = move(boxes, deltas)
        found = detections(boxes, scores, None, size, self.test_settings)
        del found.regions
        masks = self.roi_head.mask_head is not None
        if masks:
            found.mask_logits = self.roi_head.mask_logits(levels, [found.bboxes])
        original = sample.get('ori_shape') if rescale else size
        found = to_original(found, original, sample.get('scale_factor') if rescale else None)
        if masks:
            found.masks = paste_masks(found.pop('mask_logits'), found.bboxes,
                                      (original or size)[:2])
        return found

    # -- regions and words ------------------------------------------------------------------------

    def propose_boxes(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[Tensor]:
        """Boxes (N, 4) of each image, best first; see :meth:`GroundingDetector.propose_boxes`."""
        alone = [self._alone(images, i, sample) for i, sample in enumerate(samples)]
        return [self._propose(self.extract_feat(image), image, sample)
                for image, sample in zip(alone, samples)]

    def region_features(self, images: Tensor, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings of boxes in the tower's map, as prediction sees it; see
        :meth:`DenseClip.region_features`."""
        return pool_boxes(self.backbone.dense_map(self._square(images)),
                          boxes_of_images(boxes, images), self.backbone.stride)

    def compared(self, image: Tensor, boxes: Tensor) -> list[tuple[Tensor, float]]:
        """See :meth:`RegionWords.compared`: in the tower's map and behind the box head."""
        taps = self._look(image)
        features, = pool_boxes(self.backbone.embed_cells(taps[-1]), [boxes], self.backbone.stride)
        embeddings, _ = self.roi_head(self._levels(taps), [boxes])
        head = self.roi_head.bbox_head
        factor = self.test_settings.detector_temperature or float(head.detect_temperature)
        return [(features, self.temperature), (embeddings, 1 / factor)]

    def _propose(self, levels: Sequence[Tensor], image: Tensor, sample: DetDataSample) -> Tensor:
        """Boxes (N, 4) of one image: those that its sample brings, or those of the proposal head.
        """
        meta = dict(img_shape=image_size(sample, image), scale_factor=(1., 1.))
        own, = self.rpn_head.predict_by_feat(*self.rpn_head(levels), batch_img_metas=[meta],
                                             rescale=False)
        return _preferred(sample, own, image)

    def _classify(self, taps: Sequence[Tensor], levels: Sequence[Tensor], boxes: Tensor,
                  sample: DetDataSample) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the box head and blended scores (N, K + 1), and deltas (N, 4), of boxes."""
        query = Query.of_sample(sample)
        return self._judge(taps, levels, boxes, self._pool(query), self._words(query),
                           self._trained(query))

    def _judge(self, taps: Sequence[Tensor], levels: Sequence[Tensor], boxes: Tensor, pool: Pool,
               words: Tensor, trained: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `_classify`, for the embeddings (M + 1, D) of M names and of the background, the
        names' labels, and which labels were trained."""
        settings = self.test_settings
        embeddings, deltas = self.roi_head(levels, [boxes])
        logits = self.roi_head.bbox_head.logits(embeddings, words, settings.detector_temperature)
        features, = pool_boxes(self.backbone.embed_cells(taps[-1]), [boxes], self.backbone.stride)
        seen = cosine_logits(features, words, self.temperature, background=False)
        logits, seen = (pool_names(one, pool, background=True) for one in (logits, seen))
        scores = blend_scores(logits.softmax(1), seen.softmax(1), trained, settings.alpha,
                              settings.beta)
        return logits, scores, deltas

    def tensor_form(self, query: Query) -> RegionTensors:
        """See :meth:`GroundingDetector.tensor_form`; boxes only, without the proposal head."""
        return RegionTensors(self, dict(embeddings=self._words(query),
                                        trained=self._trained(query)), self._pool(query),
                             any_size=False)

    def score_regions(self, image: Tensor, regions: Tensor, pool: Pool, embeddings: Tensor,
                      trained: Tensor) -> tuple[Tensor, Tensor]:
        """Where regions are moved, (N, 4), and blended scores (N, K), as in prediction.

        Args:
            image: (1, 3, H, W), normalised.
            regions: (N, 4), xyxy pixels of the image.
            pool: Labels of the names.
            embeddings: Embeddings (M + 1, D) of the names and, last, of background.
            trained: (K + 1,) bool, which labels, and background, the box head was trained on.
        """
        taps = self._look(image)
        _, scores, deltas = self._judge(taps, self._levels(taps), regions, pool, embeddings,
                                        trained)
        if self.test_settings.regress_boxes:
            regions = move(regions, deltas)
        return regions, scores[:, :-1]

    def _trained(self, query: Query) -> Tensor:
        """Which labels of a query, and background, the box head was trained on, (K + 1,) bool."""
        own = self._of_labels(self.test_settings.trained(self._names(query)), query)
        trained = F.pad(own, (0, 1), value=True)
        return trained.to(self.roi_head.bbox_head.detect_temperature.device)

    def _names(self, query: Query) -> list[str]:
        return [name for prompt in self.prompts(query) for name in prompt.names]

    def _words(self, query: Query) -> Tensor:
        """Embeddings (M + 1, D) of a query's names and, last, of the word for background."""
        rows = self._matrix(query)
        background = self.label_embeddings(self.text_encoder, [self.words_of(self.background)],
                                           self.templates)
        return torch.cat([rows, background.to(rows)])


def _preferred(sample: DetDataSample, own: InstanceData, images: Tensor) -> Tensor:
    """The boxes (N, 4) that a sample brings, or else those of the proposal head."""
    found, = propose(lambda *_: [own], images, [sample])
    return found.bboxes.detach()


def _of_one_class(sample: DetDataSample, truth: InstanceData, images: Tensor) -> DetDataSample:
    """What the proposal head learns from: boxes that have an area, whatever their class."""
    boxes = plain_boxes(truth).to(images.device)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]
    made = DetDataSample(metainfo=dict(img_shape=image_size(sample, images), scale_factor=(1., 1.),
                                       pad_shape=tuple(images.shape[-2:])))
    made.gt_instances = InstanceData(bboxes=boxes, labels=boxes.new_zeros(len(boxes),
                                                                          dtype=torch.long))
    return made
