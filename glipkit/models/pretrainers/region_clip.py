"""RegionCLIP's pre-training: regions learn words from captions alone (Zhong et al., CVPR 2022).

No box has a label. A frozen teacher gives each region a concept of a pool that was mined from
captions; the student learns that pair (contrast), the teacher's whole distribution (distillation),
and the caption that the image came with.

Letters in shapes: B images, R regions, N concepts, D joint width.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.errors import UserError
from glipkit.models.losses.image_text import image_text_contrast
from glipkit.models.losses.region_text import region_distillation, region_text_contrast
from glipkit.models.pretrainers.contract import (
    Pretrainer,
    captions_of,
    check_sentences,
    sentence_features,
)
from glipkit.models.proposals.contract import propose
from glipkit.registry import MODELS
from glipkit.text.bank import TextBank

#: The three losses, with their weights in the paper.
LOSSES = {'contrast': 1., 'distill': 1., 'caption': 1.}


@dataclass
class PseudoLabels:
    """What the teacher says about R regions.

    Args:
        logits: (R, N) cosines over temperature.
        concepts: (R,) int64, the best concept.
        scores: (R,) its probability over the pool.
        keep: (R,) bool, whether the region takes part.
    """

    logits: Tensor
    concepts: Tensor
    scores: Tensor
    keep: Tensor


@MODELS.register_module()
class RegionClipPretrainer(Pretrainer):
    """Student, frozen teacher and frozen text encoder (section 3 of the paper).

    The state dict holds ``backbone.*``, ``teacher_backbone.*`` and ``text_encoder.*``; concept
    pools and what the box source runs are not in it, as in the official files. Randomness is
    torch's, which `IterSeedHook` makes a function of the iteration.

    Args:
        backbone: Config of the student, a ``ClipResNet``.
        text_encoder: Config of the text encoder; it is frozen.
        concepts: File of the concept pool in the space of the student, see `TextBank`; None only
            where both region losses are off, or with `set_concepts`.
        teacher_backbone: Config of the teacher, which may have another size; None takes the
            student's. It is built where a region loss is on.
        teacher_concepts: File of the same concepts in the same order in the space of the teacher;
            None takes ``concepts``.
        teacher_scale: How many times larger the teacher sees the images: things that are too small
            for the student are of the size that CLIP knows for it.
        box_source: Config of the source of boxes, see :mod:`glipkit.models.proposals`. Proposals
            that the samples have come first.
        regions: Boxes of an image that take part in a step, drawn at random; None takes all.
        threshold: Regions whose best concept has no higher probability are left out; where that
            leaves none in the batch of this process, all stay.
        temperature: Divides all cosines; fixed.
        loss_weights: Weight per loss: ``contrast``, ``distill`` and ``caption``, by default 1. A
            loss of weight 0 is not computed.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.

    Raises:
        UserError: A loss that there is not, no loss, or a text encoder of tokens.
    """

    concept_pool: Tensor | None
    teacher_pool: Tensor | None

    def __init__(self,
                 backbone: dict,
                 text_encoder: dict,
                 box_source: dict,
                 concepts: str | None = None,
                 teacher_backbone: dict | None = None,
                 teacher_concepts: str | None = None,
                 teacher_scale: float = 1.,
                 regions: int | None = 100,
                 threshold: float = 0.1,
                 temperature: float = 0.01,
                 loss_weights: Mapping[str, float] | None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.loss_weights = _weights(loss_weights or {})
        self.regions, self.threshold, self.temperature = regions, threshold, temperature
        self.backbone = MODELS.build(backbone)
        self.text_encoder = MODELS.build(text_encoder)
        check_sentences(self.text_encoder)
        self.text = self.hold(self.text_encoder)
        if self.learns_regions:
            self.teacher_backbone = MODELS.build(teacher_backbone or backbone)
            self.teacher = self.hold(self.teacher_backbone)
        self.box_source = MODELS.build(box_source)
        self._files = (concepts, teacher_concepts)
        self.teacher_scale = teacher_scale
        # No buffers: an averaged copy of the model has those that there were when it was made.
        self.concept_pool = self.teacher_pool = None

    @property
    def learns_regions(self) -> bool:
        """Whether a loss on regions is on."""
        return bool(self.loss_weights['contrast'] or self.loss_weights['distill'])

    def init_weights(self) -> None:
        """Initialises the parts; reads the pools, so that a missing file is known at once."""
        super().init_weights()
        if self.learns_regions:
            self._read_pools()

    def set_concepts(self, bank: TextBank, teacher_bank: TextBank | None = None) -> None:
        """Takes concept pools from memory.

        Args:
            bank: The pool in the space of the student.
            teacher_bank: The same concepts in the space of the teacher; None takes ``bank``.

        Raises:
            UserError: A pool of another width than its backbone, or pools that differ in concepts.
        """
        others = teacher_bank or bank
        if list(bank.names) != list(others.names):
            raise UserError('the same concepts in the same order in both pools',
                            f'{len(bank.names)} of the student and {len(others.names)} of the '
                            'teacher, which differ', 'embed one list of concepts with both models')
        device = next(self.backbone.parameters()).device
        pools = []
        for pool, tower, whose in ((bank, self.backbone, 'student'),
                                   (others, self.teacher_backbone, 'teacher')):
            if pool.width != tower.embed_dim:
                raise UserError(
                    f'concepts in the space of the {whose}, of {tower.embed_dim} numbers each',
                    f'a pool of {pool.width}',
                    'embed the concepts with the text encoder of that model; teacher_concepts '
                    'takes the pool of a teacher of another size')
            pools.append(F.normalize(pool.embeddings.to(device, torch.float32), dim=1))
        self.concept_pool, self.teacher_pool = pools

    def _read_pools(self) -> None:
        if self.concept_pool is not None:
            return
        student, teacher = self._files
        if student is None:
            raise UserError('a concept pool for the losses on regions', 'none',
                            'pass concepts=FILE, which `glipkit concepts` writes')
        self.set_concepts(TextBank.read(Path(student)),
                          None if teacher is None else TextBank.read(Path(teacher)))

    def loss(self, images: Tensor, samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """The losses that are on, and how many regions take part with which certainty.

        Raises:
            UserError: A sample without caption, or a pool that is missing or does not fit.
        """
        weights, found = self.loss_weights, {}
        maps = self.backbone(images)[-1]
        if self.learns_regions:
            found.update(self._region_losses(images, maps, self._draw_boxes(images, samples)))
        if weights['caption']:
            with self.text.asked() as encoder:
                texts = sentence_features(encoder, captions_of(samples))
            found['loss_caption'] = weights['caption'] * image_text_contrast(
                self._whole_images(images, maps), texts, 1 / self.temperature)
        return found

    def _region_losses(self, images: Tensor, maps: Tensor,
                       boxes: Sequence[Tensor]) -> dict[str, Tensor]:
        self._read_pools()
        labels = self.pseudo_labels(images, boxes)
        kept = labels.keep
        features = self.backbone.region_features(maps, boxes)[1]
        self.concept_pool = self.concept_pool.to(features.device)
        logits = _cosines(features[kept], self.concept_pool) / self.temperature
        found, weights = {}, self.loss_weights
        if weights['contrast']:
            found['loss_contrast'] = weights['contrast'] * region_text_contrast(
                logits, labels.concepts[kept])
        if weights['distill']:
            found['loss_distill'] = weights['distill'] * region_distillation(
                logits, labels.logits[kept])
        found['kept_regions'] = kept.float().mean() if len(kept) else maps.new_zeros(())
        return found

    def pseudo_labels(self, images: Tensor, boxes: Sequence[Tensor]) -> PseudoLabels:
        """The teacher's concepts of boxes, on its own map of the whole images (not of crops).

        Args:
            images: (B, 3, H, W).
            boxes: (R_b, 4) per image, xyxy network pixels.

        Returns:
            Labels of all R boxes in a row.
        """
        self._read_pools()
        if self.teacher_scale != 1:
            images = F.interpolate(images, scale_factor=self.teacher_scale, mode='bilinear',
                                   align_corners=False)
            boxes = [one * self.teacher_scale for one in boxes]
        with self.teacher.asked() as backbone:
            features = backbone.region_features(backbone(images)[-1], boxes)[1]
            self.teacher_pool = self.teacher_pool.to(features.device)
            logits = _cosines(features, self.teacher_pool) / self.temperature
            scores, concepts = logits.softmax(1).max(1)
            keep = scores > self.threshold
            if not keep.any():
                keep = scores > 0
        return PseudoLabels(logits, concepts, scores, keep)

    def boxes_of(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[Tensor]:
        """All boxes (n, 4) of each image: its proposals, or those of the box source."""
        return [found.bboxes for found in propose(self.box_source, images, samples)]

    def _draw_boxes(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[Tensor]:
        boxes = self.boxes_of(images, samples)
        if self.regions is None:
            return boxes
        # On the CPU: the same boxes on every device.
        return [one[torch.randperm(len(one))[:self.regions].to(one.device)] for one in boxes]

    def _whole_images(self, images: Tensor, maps: Tensor) -> Tensor:
        """(B, D) features of one box over the whole padded canvas (section 3.2)."""
        height, width = images.shape[-2:]
        box = images.new_tensor([[0, 0, width, height]])
        return self.backbone.region_features(maps, [box] * len(images))[1]

    def image_features(self, images: Tensor) -> Tensor:
        """(B, D) features of whole images, by a region that covers the padded canvas."""
        return self._whole_images(images, self.backbone(images)[-1])

    @torch.no_grad()
    def predict(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[DetDataSample]:
        """The samples with ``pred_instances``: ``bboxes`` (n, 4) in network pixels and the
        student's un-normalised ``features`` (n, D) of all boxes."""
        boxes, maps = self.boxes_of(images, samples), self.backbone(images)[-1]
        features = self.backbone.region_features(maps, boxes)[1]
        for sample, one, rows in zip(samples, boxes, features.split([*map(len, boxes)])):
            sample.pred_instances = InstanceData(bboxes=one, features=rows)
        return list(samples)


def _weights(given: Mapping[str, float]) -> dict[str, float]:
    unknown = sorted(given.keys() - LOSSES)
    if unknown:
        raise UserError(f'loss_weights of {", ".join(LOSSES)}', f'{unknown}', 'correct the names')
    weights = {**LOSSES, **given}
    if not any(weights.values()):
        raise UserError('at least one loss', f'loss_weights {weights}', 'give one a weight')
    return weights


def _cosines(features: Tensor, pool: Tensor) -> Tensor:
    """(R, D) and normalised (N, D) -> (R, N), in float32."""
    return F.normalize(features.float(), dim=1) @ pool.T

