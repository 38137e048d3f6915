"""The GLIP detector: images and text in, boxes out, any vocabulary.

GLIP: Grounded Language-Image Pre-training, CVPR 2022. B images, T tokens, K labels, G boxes.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.models.backbones.layer_groups import backbone_groups
from glipkit.models.detectors.glip_boxes import exclusive_boxes, inclusive_boxes
from glipkit.models.detectors.prompt_jobs import Pair, plan_jobs, rounds_at_once, run_jobs
from glipkit.models.heads.postprocess import Candidates, TestSettings, suppress
from glipkit.registry import MODELS
from glipkit.text.cache import TextFeatureCache
from glipkit.text.phrases import extract_phrases
from glipkit.text.prompts import Affixes, class_prompt, phrase_prompt, split_class_prompt
from glipkit.text.spans import token_map
from glipkit.text.structures import Prompt, TextFeatures, TextTokens
from glipkit.text.tokenizers import BertTokenizer


@MODELS.register_module()
class GLIP(BaseDetector):
    """Backbone, pyramid, text encoder and fused head.

    Boxes of samples have exclusive right and bottom edges, as everywhere. The inclusive pixels of
    the official model (a box is ``x2 - x1 + 1`` wide) begin and end in `loss` and `predict`: see
    :mod:`glipkit.models.detectors.glip_boxes`.

    A sample with class names may carry ``caption_prompt``, hand-written prompts of its classes:
    name -> dict(prefix=, name=, suffix=); the class is scored on the words of ``name``.

    Args:
        backbone: Config of the image backbone.
        neck: Config of the pyramid.
        text_encoder: Config of the text encoder.
        bbox_head: Config of :class:`GLIPHead`.
        max_tokens: Tokens of one prompt, [CLS] and [SEP] included. Longer class lists are split
            in predict mode; longer captions are cut in training.
        test_cfg: Fields of :class:`TestSettings`.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config of mmengine.
    """

    def __init__(self,
                 backbone: dict,
                 neck: dict,
                 text_encoder: dict,
                 bbox_head: dict,
                 max_tokens: int = 256,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.text_encoder = MODELS.build(text_encoder)
        self.bbox_head = MODELS.build(bbox_head)
        self.max_tokens = max_tokens
        self.test_settings = TestSettings(**(test_cfg or {}))
        self.tokenizer = BertTokenizer()
        self.text_cache = TextFeatureCache()
        self.frozen_parts: list[nn.Module] = []

    def train(self, mode: bool = True) -> GLIP:
        """Training mode for all parts but the frozen ones, which stay in evaluation mode."""
        super().train(mode)
        for part in self.frozen_parts:
            part.eval()
        return self

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Every parameter in one part of one group, from the input to the scores; for freezing,
        rates and adapters. The backbone's parts are its stem and its stages."""
        return dict(
            backbone=backbone_groups(self.backbone),
            neck=[self.neck],
            text_encoder=self.text_encoder.layer_groups(),
            **self.bbox_head.layer_groups())

    # -- the three modes of mmdet ---------------------------------------------------------------

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: Sequence[DetDataSample]) -> dict[str, object]:
        """Raw outputs: dict(token_logits, bbox_preds, centernesses, token_mask).

        Each sample needs ``text`` only. A class list is one prompt here, however long the text
        encoder's table of positions allows.
        """
        captions = [_whole_prompt(sample).caption for sample in batch_data_samples]
        text = self.encode_text(self.tokenizer(captions, self.text_encoder.max_positions))
        outputs = self.bbox_head(self.extract_feat(batch_inputs), text)
        return dict(vars(outputs), token_mask=text.mask)

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Losses loss_cls, loss_bbox, loss_centerness (GLIP equation (1)).

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text`` and ``gt_instances.bboxes`` (G, 4), exclusive
                xyxy pixels of the input image, and ``scale_factor`` where it was resized; for a
                class list ``.labels`` (G,), for a caption ``.tokens_positive`` (there or on the
                sample): per box a list of character spans. G may be 0. Tokens of the spans in
                a caption's ``ungrounded`` (a metainfo field) are in no loss.
        """
        prompts = [self._training_prompt(sample) for sample in batch_data_samples]
        tokens = self.tokenizer([p.caption for p in prompts], self.max_tokens, truncate=True)
        boxes = [inclusive_boxes(sample) for sample in batch_data_samples]
        box_tokens = [
            self._token_map(tokens, i, _box_spans(sample, prompt))
            for i, (sample, prompt) in enumerate(zip(batch_data_samples, prompts))
        ]
        text = self.encode_text(tokens)
        outputs = self.bbox_head(self.extract_feat(batch_inputs), text)
        known = text.mask & ~torch.stack([
            self._token_map(tokens, i, [sample.get('ungrounded', [])])[0]
            for i, sample in enumerate(batch_data_samples)])
        return self.bbox_head.loss(outputs, known, boxes, box_tokens)

    @torch.no_grad()
    def predict(self,
                batch_inputs: Tensor,
                batch_data_samples: Sequence[DetDataSample],
                rescale: bool = True) -> list[DetDataSample]:
        """Detections as ``pred_instances`` (bboxes, scores, labels, best first).

        ``bboxes`` are exclusive xyxy pixels.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text``. A tuple of class names is split into as many
                prompts as the token budget asks for; labels index the tuple. For a caption, labels
                index ``phrases`` (per phrase a list of spans; a metainfo field), or else
                ``tokens_positive`` of the ground truth or the sample, or else the caption's noun
                phrases.
            rescale: Return boxes in the original image where the sample has a ``scale_factor``.
        """
        levels = self.extract_feat(batch_inputs)
        prompts = [self._prompts(sample) for sample in batch_data_samples]
        found: list[list[Candidates]] = [[] for _ in prompts]
        for i, candidates in self._ground(levels, prompts):
            found[i].append(candidates)
        for sample, candidates in zip(batch_data_samples, found):
            size = tuple(sample.get('img_shape', batch_inputs.shape[-2:]))[:2]
            result = suppress(Candidates.cat(candidates), size, self.test_settings)
            result.bboxes = exclusive_boxes(result.bboxes, sample, rescale)
            sample.pred_instances = result
        return list(batch_data_samples)

    # -- the parts ------------------------------------------------------------------------------

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> pyramid maps (B, C, H_i, W_i), finest first."""
        return self.neck(self.backbone(batch_inputs))

    def encode_text(self, tokens: TextTokens) -> TextFeatures:
        """Text features (B, T, C), remembered in evaluation."""
        return self.text_cache.encode(self.text_encoder, tokens)

    def _token_map(self, tokens: TextTokens, i: int, spans: Sequence) -> Tensor:
        """Tokens (K, T) of the spans of caption ``i``, on the model's device."""
        width = tokens.ids.size(1)
        return token_map(tokens.offsets[i], spans, width).to(self.bbox_head.alignment.bias0.device)

    def _training_prompt(self, sample: DetDataSample) -> Prompt:
        """One prompt; a class list that would be cut, and lose boxes by it, is refused."""
        prompt = _whole_prompt(sample)
        if not isinstance(sample.text, str) and \
                self.tokenizer.count(prompt.caption) + 2 > self.max_tokens:
            raise UserError(f'a training prompt of at most {self.max_tokens} tokens',
                            f'{len(sample.text)} classes that take more',
                            'sample classes with SampleClassPrompt in the training pipeline')
        return prompt

    def class_prompts(self, names: Sequence[str], affixes: Affixes | None = None) -> list[Prompt]:
        """The prompts that ``predict`` asks a class list with."""
        budget = self.test_settings.max_tokens or self.max_tokens
        return split_class_prompt(names, self.tokenizer.count, budget, affixes=affixes)

    def _prompts(self, sample: DetDataSample) -> list[Prompt]:
        """The prompts that one sample is asked with."""
        if not isinstance(sample.text, str):
            return self.class_prompts(sample.text, sample.get('caption_prompt'))
        phrases = _phrases(sample)
        if phrases is None:
            phrases = extract_phrases(sample.text)
        if not len(phrases):
            raise UserError('a caption with at least one phrase to ground', repr(sample.text),
                            'name its character spans in `phrases`')
        return [phrase_prompt(sample.text, phrases)]

    def _ground(self, levels: Sequence[Tensor],
                prompts: Sequence[Sequence[Prompt]]) -> Iterator[tuple[int, Candidates]]:
        """Candidates of every image for each of its prompts, as (image, candidates)."""
        rounds = rounds_at_once(levels)
        on_cpu = levels[0].device.type == 'cpu'
        jobs = plan_jobs(prompts, 1 if on_cpu else rounds)
        # Before the threads begin: the cache of text features is not made for several.
        asked = [(job, *self._read([prompt for _, prompt in job])) for job in jobs]

        def pass_head(job: tuple[list[Pair], TextTokens, TextFeatures]) -> list[Candidates]:
            pairs, tokens, text = job
            rows = [i for i, _ in pairs]
            whole = rows == list(range(len(levels[0])))
            maps = levels if whole else [level[rows] for level in levels]
            outputs = self.bbox_head(maps, text)
            spans = [self._token_map(tokens, k, prompt.spans)
                     for k, (_, prompt) in enumerate(pairs)]
            return self.bbox_head.candidates(outputs, spans, self.test_settings)

        results = run_jobs(pass_head, asked, rounds if on_cpu else 1)
        for job, candidates_of_job in zip(jobs, results):
            for (i, prompt), candidates in zip(job, candidates_of_job):
                candidates.labels += prompt.start  # labels index the caller's list
                yield i, candidates

    def _read(self, prompts: Sequence[Prompt]) -> tuple[TextTokens, TextFeatures]:
        tokens = self.tokenizer([p.caption for p in prompts], self.text_encoder.max_positions)
        return tokens, self.encode_text(tokens)


def _whole_prompt(sample: DetDataSample) -> Prompt:
    """One prompt for a caption (without entities) or a class list."""
    if isinstance(sample.text, str):
        return Prompt(sample.text, (), ())
    return class_prompt(sample.text, affixes=sample.get('caption_prompt'))


def _phrases(sample: DetDataSample) -> Sequence | None:
    """Spans of each phrase that a caption's sample asks for, if it says."""
    for owner, key in ((sample, 'phrases'), (sample.get('gt_instances', {}), 'tokens_positive'),
                       (sample, 'tokens_positive')):
        if key in owner:
            return owner.get(key)
    return None


def _box_spans(sample: DetDataSample, prompt: Prompt) -> list:
    """Character spans of each ground-truth box."""
    if isinstance(sample.text, str):
        instances = sample.gt_instances
        return list(instances.get('tokens_positive', sample.get('tokens_positive', ())))
    return [prompt.spans[label] for label in sample.gt_instances.labels.tolist()]
