"""CLIPSelf's distillation: a map learns from the model's own view of crops.

Wu et al., "CLIPSelf: Vision Transformer Distills Itself for Open-Vocabulary Dense Prediction",
ICLR 2024, section 3.2. Nothing has a label: the region of a box in the student's map shall be what
the frozen teacher says of a picture of that box.

Letters in shapes: B images, n boxes of an image, R boxes of all images, D channels, S side of a
crop.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.errors import UserError
from glipkit.models.alignment.region_pooling import pool_boxes
from glipkit.models.losses.region_crops import crop_distillation
from glipkit.models.pretrainers.contract import Pretrainer
from glipkit.models.proposals.contract import plain_boxes
from glipkit.registry import MODELS


@MODELS.register_module()
class ClipSelfPretrainer(Pretrainer):
    """Student and frozen teacher, the same image transformer; no text encoder is in memory.

    Samples bring ``proposals``: boxes in the pixels of the image, and ``crops``, pictures of them,
    see :class:`glipkit.data.transforms.CutCrops`. The state dict holds ``backbone.*`` and
    ``teacher_backbone.*``; a text encoder joins by ``glipkit convert --text``.

    Only layers of the student train. Patches and positions, the last norm and the projection stay
    as they are, so that the map stays in the space of the words; so do query and key of the last
    layer where they have weights of their own, as the map does without them.

    Gradients are averaged over processes, and the loss is the mean over the boxes of all of them.
    In the released code they are not: there every process trains a copy of its own, for it calls
    the model inside of the wrapper that would average, and the copy of the first one is saved. Its
    learning rate is for batches of 2 images.

    Args:
        backbone: Config of the student, such as `glipkit.EvaViT` or `glipkit.ClipViT`.
        teacher_backbone: Config of the teacher, with embeddings of the same width; None takes the
            student's.
        trained_layers: How many of the last layers train; None for all.
        crop_batch: Crops that the teacher sees at once, which bounds its memory.
        mismatched: Whether every box gets the crop of another one in the batch, a control:
            whatever such a training brings, crops have not taught.
        data_preprocessor: Config of the data preprocessor; crops go through it as well.
        init_cfg: Initialisation config of mmengine.

    Raises:
        UserError: A tower without a dense map, towers of two widths, or no layer that trains.
    """

    def __init__(self,
                 backbone: dict,
                 teacher_backbone: dict | None = None,
                 trained_layers: int | None = None,
                 crop_batch: int = 10,
                 mismatched: bool = False,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if crop_batch < 1:
            raise UserError('crop_batch of at least 1', str(crop_batch), 'correct it')
        self.crop_batch, self.mismatched = crop_batch, mismatched
        self.backbone = MODELS.build(backbone)
        self.teacher_backbone = MODELS.build(teacher_backbone or backbone)
        for tower in (self.backbone, self.teacher_backbone):
            if not hasattr(tower, 'dense_map'):
                raise UserError('towers with a dense map, such as glipkit.EvaViT or '
                                'glipkit.ClipViT', type(tower).__name__, 'take one of these')
        widths = self.backbone.embed_dim, self.teacher_backbone.embed_dim
        if widths[0] != widths[1]:
            raise UserError('embeddings of one width of student and teacher',
                            f'{widths[0]} and {widths[1]}', 'take towers of one family')
        self._freeze_all_but(trained_layers)
        self.teacher = self.hold(self.teacher_backbone)

    def _freeze_all_but(self, count: int | None) -> None:
        """Leaves the last ``count`` layers to training; None for all of them."""
        _, *layers, _ = self.backbone.layer_groups()
        count = len(layers) if count is None else count
        if not 1 <= count <= len(layers):
            raise UserError(f'trained_layers from 1 to {len(layers)}', str(count), 'correct it')
        self.backbone.requires_grad_(False)
        for layer in layers[len(layers) - count:]:
            layer.requires_grad_(True)
        # Processes that average gradients would wait for these.
        for parameter in self.backbone.attended_alone():
            parameter.requires_grad_(False)

    def loss(self, images: Tensor, samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """``loss_cosine`` and, for the log, how many boxes an image has.

        Raises:
            UserError: A sample without crops.
        """
        boxes, crops = self.boxes_of(samples), _crops_of(samples)
        targets = self.crop_features(crops)
        if self.mismatched:
            targets = targets.roll(1 + len(targets) // 2, 0)
        features = torch.cat(self.region_features(images, boxes))
        return dict(loss_cosine=crop_distillation(features, targets),
                    boxes=images.new_tensor(len(features) / max(len(images), 1)))

    def boxes_of(self, samples: Sequence[DetDataSample]) -> list[Tensor]:
        """Boxes (n, 4) of each image, xyxy in its pixels.

        Raises:
            UserError: A sample without proposals.
        """
        return [plain_boxes(_proposals_of(sample)) for sample in samples]

    def region_features(self, images: Tensor, boxes: Sequence[Tensor]) -> list[Tensor]:
        """What the student says of boxes, from its map of the whole images.

        Args:
            images: (B, 3, H, W), normalised.
            boxes: Of each image (n, 4), xyxy in its pixels.

        Returns:
            Of each image (n, D), of length 1.
        """
        dense = self.backbone.dense_map(images)
        return pool_boxes(dense, [one.to(dense) for one in boxes], self.backbone.stride)

    def crop_features(self, crops: Sequence[Tensor]) -> Tensor:
        """What the teacher says of pictures of boxes.

        Args:
            crops: Of each image (n, 3, S, S), pixels as images come into the preprocessor.

        Returns:
            (R, D), not normalised, in the order of the images; nothing is recorded for gradients.
        """
        device, found = next(self.teacher_backbone.parameters()).device, []
        with self.teacher.asked() as tower:
            for part in torch.cat([*crops]).split(self.crop_batch):
                if len(part):
                    data = self.data_preprocessor(dict(inputs=[*part], data_samples=None))
                    pixels = data['inputs']
                    pixels = pixels if isinstance(pixels, Tensor) else torch.stack([*pixels])
                    found.append(tower.embed_image(pixels.to(device)))
        return torch.cat(found) if found else torch.zeros(0, self.backbone.embed_dim,
                                                          device=device)

    def image_features(self, images: Tensor) -> Tensor:
        """(B, D) class tokens of the student, not normalised."""
        return self.backbone.embed_image(images)

    @torch.no_grad()
    def predict(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[DetDataSample]:
        """The samples with ``pred_instances``: ``bboxes`` (n, 4) in network pixels and the
        student's ``features`` (n, D) of them, of length 1."""
        boxes = self.boxes_of(samples)
        for sample, one, rows in zip(samples, boxes, self.region_features(images, boxes)):
            sample.pred_instances = InstanceData(bboxes=one, features=rows)
        return list(samples)


def _proposals_of(sample: DetDataSample) -> InstanceData:
    found = sample.get('proposals')
    if found is None:
        raise UserError('boxes with every image (the sample field `proposals`)',
                        f'none for {sample.get("img_path") or "an image"}',
                        'add dict(type="glipkit.GridProposals") or '
                        'dict(type="glipkit.DrawProposals") to the pipeline')
    return found


def _crops_of(samples: Sequence[DetDataSample]) -> list[Tensor]:
    """Pictures (n, 3, S, S) of the boxes of each sample.

    Raises:
        UserError: A sample without them.
    """
    found = []
    for sample in samples:
        crops = _proposals_of(sample).get('crops')
        if crops is None:
            raise UserError('a picture of every box (`crops` of the proposals)',
                            f'none for {sample.get("img_path") or "an image"}',
                            'add dict(type="glipkit.CutCrops") to the pipeline')
        found.append(crops)
    return found
