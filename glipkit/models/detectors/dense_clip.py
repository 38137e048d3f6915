"""CLIPSelf's model as a detector without a box head: every patch has an embedding, boxes pool them.

Wu et al., "CLIPSelf: Vision Transformer Distills Itself for Open-Vocabulary Dense Prediction",
ICLR 2024, section 3. B images, N boxes or masks of an image, K labels, D channels.
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
from glipkit.models.alignment.label_embeddings import LabelEmbeddings
from glipkit.models.alignment.label_pooling import Pool, pool_names
from glipkit.models.alignment.region_pooling import MaskResize, cell_masks, pool_boxes, pool_masks
from glipkit.models.detectors.dense_words import DenseWords
from glipkit.models.detectors.region_tensors import RegionTensors
from glipkit.models.detectors.region_words import RegionWords, not_empty
from glipkit.models.proposals.contract import as_batch, boxes_of_images, image_size, propose
from glipkit.models.roi_heads.postprocess import RegionSettings, detections, to_original
from glipkit.registry import MODELS
from glipkit.text.query import Query
from glipkit.text.templates import write_detection_sentences


@MODELS.register_module()
class DenseClip(DenseWords, RegionWords):
    """A CLIP image transformer whose patches are compared with the embeddings of words.

    Boxes are those of the source, as they are. Sample field ``proposals`` (see
    :mod:`glipkit.models.proposals.contract`) wins over the source.

    Args:
        backbone: Config of the tower, such as `glipkit.EvaViT` or `glipkit.ClipViT`.
        text_encoder: Config of a sentence encoder of the tower's embedding width.
        box_source: Config of the source of boxes; a source has no weights here.
        templates: Name or sentences of the templates that a label's words are put in.
        temperature: Divisor of the cosines; it does not train.
        max_tokens: Largest number of tokens of a label in its template; None for what the text
            encoder reads.
        text_bank: Arguments of :meth:`TextBank.read`, ``path`` and perhaps ``names``: a file whose
            embeddings classes take that have a name in it, instead of the text encoder's.
        square: Whether an image stands in a black square, left and above, when the tower sees it,
            as in CLIPSelf's training. The map is cut to the image again. Otherwise the tower's
            positions are stretched to the image.
        test_cfg: Fields of :class:`RegionSettings`; boxes are never moved.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.

    Attributes:
        label_embeddings: Turns words into class embeddings, and remembers them.

    Raises:
        UserError: A backbone without a dense map.
    """

    probe_groups = ('alignment', )

    def __init__(self, backbone: dict, text_encoder: dict, box_source: dict | None = None,
                 templates: str | Sequence[str] = 'detection', temperature: float = 0.01,
                 max_tokens: int | None = None, text_bank: dict | None = None,
                 square: bool = True, test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(backbone, text_encoder, box_source, templates, temperature, max_tokens,
                         text_bank, data_preprocessor, init_cfg)
        if not hasattr(self.backbone, 'dense_map'):
            raise UserError('a tower with a dense map, such as glipkit.EvaViT or glipkit.ClipViT',
                            type(self.backbone).__name__,
                            'take one of these, or glipkit.ClipRCNN for a ResNet')
        self.square = square
        self.test_settings = RegionSettings(**{'regress_boxes': False, **(test_cfg or {})})

    def make_label_embeddings(self) -> LabelEmbeddings:
        return LabelEmbeddings('after', write=write_detection_sentences)

    def words_of(self, name: str) -> str:
        """The name itself: the sentences' writer looks at its letters before it cleans them."""
        return not_empty(name.strip(' ._/'), name) and name.strip()

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Groups of parts, from the input to the scores; every parameter is in exactly one part.

        The backbone's parts are patches and layers; its last norm and projection, which puts
        patches beside words, are the group ``alignment``.
        """
        *layers, last = self.backbone.layer_groups()
        return dict(backbone=layers, text_encoder=self.text_encoder.layer_groups(),
                    alignment=[last])

    # -- the three modes of mmdet ---------------------------------------------------------------

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: Sequence[DetDataSample]) -> dict[str, list[Tensor]]:
        """Raw outputs per image: dict(boxes (N, 4), features (N, D), logits (N, K + 1)).

        Logits are cosines over the temperature with the background last. Each sample needs
        ``text`` only.
        """
        boxes = self.propose_boxes(batch_inputs, batch_data_samples)
        features = self.region_features(batch_inputs, boxes)
        return dict(boxes=boxes, features=features,
                    logits=[self._logits(one, Query.of_sample(sample))
                            for one, sample in zip(features, batch_data_samples)])

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Loss loss_cls: cross-entropy of annotated boxes over the labels; there is no background.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text`` and ``gt_instances``: bboxes (G, 4), exclusive
                xyxy pixels of the input image, and labels (G,). G may be 0.

        Raises:
            UserError: The text encoder was set to train.
        """
        self._check_frozen()
        total, count = batch_inputs.new_zeros(()), 0
        for i, sample in enumerate(batch_data_samples):
            dense = self._map_of(batch_inputs[i:i + 1], sample)
            boxes = getattr(sample.gt_instances.bboxes, 'tensor', sample.gt_instances.bboxes)
            features, = pool_boxes(dense, [boxes.to(dense)], self.backbone.stride)
            logits = self._logits(features, Query.of_sample(sample))[:, :-1]
            labels = sample.gt_instances.labels.to(logits.device)
            total = total + F.cross_entropy(logits, labels, reduction='sum') + 0 * dense.sum()
            count += len(labels)
        return dict(loss_cls=total / max(count, 1))

    def predict(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample],
                rescale: bool = True) -> list[DetDataSample]:
        """Detections of every image in ``pred_instances``: bboxes, scores, labels, best first.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text``: class names, which labels index, or a
                caption, whose phrases are the labels by their words alone. One with ``ask`` gets
                what :class:`DenseWords` says instead.
            rescale: Return boxes in the original image where the sample has a ``scale_factor``.
        """
        plain = [i for i, sample in enumerate(batch_data_samples) if 'ask' not in sample]
        whole = len(plain) == len(batch_data_samples)
        proposed = propose(self.box_source, batch_inputs if whole else batch_inputs[plain],
                           [batch_data_samples[i] for i in plain])
        for i, one in zip(plain, proposed):
            image, sample = batch_inputs[i:i + 1], batch_data_samples[i]
            sample.pred_instances = self._detect(self._map_of(image, sample), sample, one,
                                                 image_size(sample, image), rescale)
        for i in set(range(len(batch_data_samples))) - set(plain):
            self.answer(batch_inputs[i:i + 1], batch_data_samples[i])
        return list(batch_data_samples)

    def _detect(self, dense: Tensor, sample: DetDataSample, proposed: InstanceData,
                size: tuple[int, int], rescale: bool) -> InstanceData:
        """Detections of one image from its map (1, D, h, w)."""
        features, = pool_boxes(dense, [proposed.bboxes.to(dense)], self.backbone.stride)
        logits = self._logits(features, Query.of_sample(sample)).float()
        if self.test_settings.name_regions:
            asked = len(self.label_names(Query.of_sample(sample)))
            sample.pred_regions = InstanceData(scores=logits[:, :asked])
        found = detections(proposed.bboxes, logits.softmax(1)[:, :-1], proposed.get('logits'), size,
                           self.test_settings)
        del found.regions
        return to_original(found, sample.get('ori_shape') if rescale else size,
                           sample.get('scale_factor') if rescale else None)

    # -- features of what the caller gives --------------------------------------------------------

    def dense_features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> an embedding of each patch, (B, D, h, w).

        They have length 1. A patch that begins inside the image counts: h = ceil(H / patch), and
        w likewise.
        """
        height, width = as_batch(images).shape[-2:]
        cells = [-(-side // self.backbone.stride) for side in (height, width)]
        wanted = [self.backbone.stride * (max(cells) if self.square else count) for count in cells]
        if (height, width) != tuple(wanted):
            canvas = self._black(images).expand(len(images), -1, *wanted).clone()
            canvas[..., :height, :width] = images
            images = canvas
        return self.backbone.dense_map(images)[..., :cells[0], :cells[1]]

    def region_features(self, images: Tensor, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings of boxes, of length 1.

        Args:
            images: (B, 3, H, W), normalised.
            boxes: Per image (N, 4), xyxy pixels of ``images``; N may be 0.

        Returns:
            Per image (N, D), in the order of the boxes.

        Raises:
            UserError: Boxes for another number of images, of another shape, or not finite.
        """
        return pool_boxes(self.dense_features(images), boxes_of_images(boxes, images),
                          self.backbone.stride)

    def tensor_form(self, query: Query) -> RegionTensors:
        """See :meth:`GroundingDetector.tensor_form`."""
        return RegionTensors(self, dict(embeddings=self._matrix(query)), self._pool(query),
                             fill='black', any_size=False)

    def score_regions(self, image: Tensor, regions: Tensor, pool: Pool,
                      embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """The regions (N, 4) and probabilities of labels (N, K), as in prediction.

        Args:
            image: (1, 3, H, W), normalised.
            regions: (N, 4), xyxy pixels of the image.
            pool: Labels of the names.
            embeddings: Embeddings of the names, (M, D).
        """
        features, = pool_boxes(self.dense_features(image), [regions], self.backbone.stride)
        logits = cosine_logits(features, embeddings, self.temperature)
        return regions, pool_names(logits, pool, background=True).softmax(1)[:, :-1]

    def mask_features(self, images: Tensor, masks: Sequence[Tensor],
                      how: MaskResize = 'coverage') -> list[Tensor]:
        """Embeddings of masks, of length 1.

        Args:
            images: (B, 3, H, W), normalised.
            masks: Per image (N, H, W), True inside, or (N, h, w) of the map's cells, as a tensor or
                an array; N may be 0.
            how: How pixels become cells, see :func:`~.alignment.region_pooling.cell_masks`.

        Returns:
            Per image (N, D), in the order of the masks; zeros for an empty mask.

        Raises:
            UserError: Masks of another size than the images, or for another number of images.
        """
        dense = self.dense_features(images)
        stride, grid = self.backbone.stride, tuple(dense.shape[-2:])
        sizes = (tuple(images.shape[-2:]), grid)
        cells = []
        for own in masks:
            own = torch.as_tensor(own)
            if own.dim() != 3 or tuple(own.shape[1:]) not in sizes:
                raise UserError(f'masks (N, {sizes[0][0]}, {sizes[0][1]}), as large as the image',
                                str(tuple(own.shape)), 'resize them with the image')
            own = own.to(dense.device)
            if tuple(own.shape[1:]) != grid:
                full = F.pad(own, (0, grid[1] * stride - own.shape[2],
                                   0, grid[0] * stride - own.shape[1]))
                own = cell_masks(full, grid, how)
            cells.append(own.bool())
        return pool_masks(dense, cells)

    def text_features(self, texts: Sequence[str],
                      templates: str | Sequence[str] | None = None) -> Tensor:
        """Embeddings (K, D) of texts.

        Args:
            texts: K texts.
            templates: Name or sentences of templates that each text is put in; the mean of their
                features of length 1 has length 1 again. None takes the texts as they are, with
                features of any length. A text that is too long is cut, with a warning.
        """
        found = super().text_features(texts, templates)
        return found if templates is None else F.normalize(found, dim=-1)

    def _map_of(self, image: Tensor, sample: DetDataSample) -> Tensor:
        """The map of one image (1, 3, H, W) without the padding that its batch has given it.

        Every patch sees all others, so that padding would change the features of the image.
        """
        height, width = image_size(sample, image)
        return self.dense_features(image[..., :height, :width])

    def _black(self, images: Tensor) -> Tensor:
        """Black after normalisation, (1, 3, 1, 1)."""
        mean = getattr(self.data_preprocessor, 'mean', None)
        if mean is None:
            return images.new_zeros(1, images.shape[1], 1, 1)
        return (-mean / self.data_preprocessor.std).to(images)[None]
