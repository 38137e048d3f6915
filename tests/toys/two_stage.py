"""A second method in a file: a sentence encoder and a two-stage head over fixed proposals."""
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import nn
from torchvision.ops import batched_nms, box_convert, roi_align

from glipkit.models.contract import GroundingDetector
from glipkit.registry import MODELS
from glipkit.text.prompts import class_prompt
from glipkit.text.query import Query
from glipkit.text.structures import TextFeatures
from glipkit.text.tokenizers import BertTokenizer, register_tokenizer


@register_tokenizer
class PieceTokenizer(BertTokenizer):
    """Word pieces under another name, so that mixing it up with another tokenizer is seen."""


@MODELS.register_module()
class SentenceEncoder(nn.Module):
    default_tokenizer, token_features, hidden_size, max_positions = 'PieceTokenizer', False, 8, 32

    def __init__(self):
        super().__init__()
        self.tokenizer, self.words = PieceTokenizer(), nn.EmbeddingBag(30522, 8, mode='mean')

    def forward(self, tokens):
        ids = tokens.ids.to(self.words.weight.device)
        hidden = torch.stack([self.words(row[mask.to(row.device)][None])
                              for row, mask in zip(ids, tokens.mask)])
        return TextFeatures(hidden, torch.ones(len(ids), 1, dtype=torch.bool, device=ids.device))

    def layer_groups(self):
        return [self.words]


@MODELS.register_module()
class TwoStage(GroundingDetector):
    probe_groups, prompt_budget = ('regions', ), 32

    def __init__(self, text_encoder, **kwargs):
        super().__init__(max_tokens=32, **kwargs)
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1))
        self.text_encoder = MODELS.build(text_encoder)
        self.regions, self.refine = nn.Linear(8 * 9, 8), nn.Linear(8 * 9, 4)

    def layer_groups(self):
        return dict(backbone=list(self.backbone), text_encoder=self.text_encoder.layer_groups(),
                    regions=[self.regions, self.refine])

    def build_prompts(self, query):
        return [class_prompt([name], start=i) for i, name in enumerate(query.classes)]

    def extract_feat(self, images):
        return self.backbone(images)

    def _score(self, images, samples):
        """Per image proposals (N, 4), refinements (N, 4) and logits (N, K)."""
        maps, (height, width) = self.extract_feat(images), images.shape[-2:]
        centers = torch.cartesian_prod(torch.arange(8., width, 16), torch.arange(8., height, 16))
        boxes = torch.cat([box_convert(torch.cat([centers, torch.full_like(centers, side)], 1),
                                       'cxcywh', 'xyxy') for side in (24., 40.)]).to(images)
        for i, sample in enumerate(samples):
            pooled = roi_align(maps[i:i + 1], [boxes], 3, 1 / 8, aligned=True).flatten(1)
            tokens = self.tokenize(self.prompts(Query.of_sample(sample)))
            text = self.encode_text(tokens).hidden[:, 0]
            regions = F.normalize(self.regions(pooled), dim=1)
            yield boxes, self.refine(pooled), 10 * regions @ F.normalize(text, dim=1).T

    def _forward(self, images, samples):
        return list(self._score(images, samples))

    def loss(self, images, samples):
        losses = [images.sum() * 0]
        for sample, (boxes, deltas, logits) in zip(samples, self._score(images, samples)):
            truth, labels = sample.gt_instances.bboxes, sample.gt_instances.labels
            truth = getattr(truth, 'tensor', truth)
            target = torch.zeros_like(logits)
            for box, label in zip(truth, labels):
                nearest = (boxes - box).abs().sum(1).argmin()
                target[nearest, label] = 1
                losses.append(F.l1_loss(boxes[nearest] + deltas[nearest], box))
            losses.append(F.binary_cross_entropy_with_logits(logits, target))
        return dict(loss=sum(losses))

    def predict(self, images, samples, rescale=True):
        for sample, (boxes, deltas, logits) in zip(samples, self._score(images, samples)):
            scores, labels = logits.sigmoid().max(1)
            scale = sample.get('scale_factor', (1, 1)) if rescale else (1, 1)
            boxes = (boxes + deltas) / boxes.new_tensor(scale).repeat(2)
            keep = batched_nms(boxes, scores, labels, 0.5)[:20]
            sample.pred_instances = InstanceData(bboxes=boxes[keep], scores=scores[keep],
                                                 labels=labels[keep])
        return list(samples)
