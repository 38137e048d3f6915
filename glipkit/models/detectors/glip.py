"""The GLIP detector: images and text in, boxes out, any vocabulary.

GLIP: Grounded Language-Image Pre-training, CVPR 2022. B images, T tokens, K labels, G boxes.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from glipkit.common.cores import start_threads
from glipkit.common.devices import to_device
from glipkit.errors import UserError
from glipkit.models.alignment.label_pooling import Pool
from glipkit.models.backbones.towers import layer_groups
from glipkit.models.contract import GroundingDetector
from glipkit.models.detectors import glip_examples
from glipkit.models.detectors.glip_boxes import exclusive_boxes, inclusive_boxes
from glipkit.models.detectors.glip_prompts import box_spans, whole_prompt, words_of_labels
from glipkit.models.detectors.prompt_passes import (
    PromptPass,
    TokenMaps,
    labels_of_columns,
    plan_passes,
    rounds_at_once,
    rows_of,
    run_passes,
    token_maps,
)
from glipkit.models.heads.glip_head import HeadOutputs
from glipkit.models.heads.postprocess import Candidates, TestSettings, real_ones, suppress
from glipkit.models.kernels.graphs import RecordedCalls
from glipkit.models.tensor_form import TensorForm
from glipkit.registry import MODELS
from glipkit.text.encoders.words import word_features
from glipkit.text.phrases import extract_phrases
from glipkit.text.prompts import phrase_prompt, split_class_prompt
from glipkit.text.query import Query
from glipkit.text.spans import token_map
from glipkit.text.structures import Prompt, TextFeatures, TextTokens


@MODELS.register_module()
class GLIP(GroundingDetector):
    """Backbone, pyramid, text encoder and fused head.

    Boxes of samples have exclusive right and bottom edges, as everywhere. The official model counts
    inclusive pixels (a box is ``x2 - x1 + 1`` wide); `loss` and `predict` convert the boxes: see
    :mod:`glipkit.models.detectors.glip_boxes`.

    Args:
        backbone: Config of the image backbone.
        neck: Config of the pyramid.
        text_encoder: Config of the text encoder.
        bbox_head: Config of :class:`GLIPHead`.
        max_tokens: Largest number of tokens of one prompt, special ones included. Longer class
            lists are split in predict mode; longer captions are cut in training.
        loss_words: Config of a :class:`WordLoss` on class prompts, beside the losses of the head.
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
                 loss_words: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(max_tokens, data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.text_encoder = MODELS.build(text_encoder)
        self.bbox_head = MODELS.build(bbox_head)
        self.loss_words = None if loss_words is None else MODELS.build(loss_words)
        self.test_settings = TestSettings(**(test_cfg or {}))
        self.graphs: RecordedCalls | None = None
        self.check_tokenizer()

    def warm_up(self) -> None:
        """On a processor, starts the threads in which prompts pass through the head."""
        start_threads()

    def use_graphs(self, wanted: bool = True) -> None:
        """See :meth:`GroundingDetector.use_graphs`."""
        device = self.bbox_head.alignment.bias0.device
        if wanted and device.type != 'cuda':
            raise UserError('a GPU for graphs', f'a model on {device}', 'leave graphs out')
        self.graphs = RecordedCalls() if wanted else None

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Groups of parts, from the input to the scores; every parameter is in exactly one part.

        The parts of the backbone are its stem and its stages.
        """
        return dict(
            backbone=layer_groups(self.backbone),
            neck=[self.neck],
            text_encoder=self.text_encoder.layer_groups(),
            **self.bbox_head.layer_groups())

    # -- the three modes of mmdet ---------------------------------------------------------------

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: Sequence[DetDataSample]) -> dict[str, object]:
        """Raw outputs: dict(token_logits, bbox_preds, centernesses, token_mask).

        Each sample needs ``text`` only. A class list is one prompt here, of at most the
        positions of the text encoder.
        """
        prompts = [whole_prompt(Query.of_sample(sample)) for sample in batch_data_samples]
        text = self.encode_text(self.tokenize(prompts))
        outputs = self.bbox_head(self.extract_feat(batch_inputs), text)
        return dict(vars(outputs), token_mask=text.mask)

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Losses loss_cls, loss_bbox, loss_centerness (GLIP equation (1)), loss_words where asked.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: Samples with ``text`` and ``gt_instances.bboxes`` (G, 4), exclusive
                xyxy pixels of the input image, and ``scale_factor`` where it was resized; for a
                class list ``.labels`` (G,), for a caption ``.tokens_positive`` (there or on the
                sample): per box a list of character spans. G may be 0. Tokens of the spans in
                a caption's ``ungrounded`` (a metainfo field) are in no loss.
        """
        queries = [Query.of_sample(sample) for sample in batch_data_samples]
        prompts = [self._training_prompt(query) for query in queries]
        tokens = self.text_encoder.tokenizer([p.caption for p in prompts], self.max_tokens,
                                             truncate=True)
        boxes = [inclusive_boxes(sample) for sample in batch_data_samples]
        box_tokens = [
            self.token_map_of(tokens, i, box_spans(sample, prompt))
            for i, (sample, prompt) in enumerate(zip(batch_data_samples, prompts))
        ]
        text = self.encode_text(tokens)
        levels = self.extract_feat(batch_inputs)
        outputs = self.bbox_head(levels, text)
        known = text.mask & ~torch.stack([
            self.token_map_of(tokens, i, [query.unknown])[0] for i, query in enumerate(queries)])
        losses = self.bbox_head.loss(outputs, known, boxes, box_tokens)
        # It teaches the pyramid; where that is frozen, words may not be asked for one by one.
        if self.loss_words is not None and any(p.requires_grad for p in self.neck.parameters()):
            losses['loss_words'] = self._word_loss(levels, queries, boxes, batch_data_samples)
        return losses

    def _word_loss(self, levels: Sequence[Tensor], queries: Sequence[Query],
                   boxes: Sequence[Tensor], samples: Sequence[DetDataSample]) -> Tensor:
        """The word loss of the class prompts; a caption does not say which words are absent."""
        asked = [words_of_labels(query) for query in queries]
        known = sorted(set().union(*(words for names in asked for words in names)))
        if not known:
            return self.loss_words(levels, [], [], [], self.bbox_head.alignment)
        features = word_features(self.text_encoder, known)
        belongs, words = [], []
        for names, sample in zip(asked, samples):
            mine = sorted(set().union(*names))
            labels = sample.gt_instances.labels.tolist() if mine else []
            belongs.append(torch.tensor([[word in names[label] for word in mine]
                                         for label in labels], dtype=torch.bool))
            words.append(features[[known.index(word) for word in mine]])
        return self.loss_words(levels, boxes, belongs, words, self.bbox_head.alignment)

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
        levels = self._maps(batch_inputs)
        queries = [Query.of_sample(sample) for sample in batch_data_samples]
        found: list[list[Candidates]] = [[] for _ in queries]
        for i, candidates in self._ground(levels, queries):
            found[i].append(candidates)
        for sample, candidates in zip(batch_data_samples, found):
            size = tuple(sample.get('img_shape', batch_inputs.shape[-2:]))[:2]
            every = Candidates.cat(candidates)
            every = real_ones(every) if every.scores.is_cuda else every
            result = suppress(every, size, self.test_settings)
            result.bboxes = exclusive_boxes(result.bboxes, sample, rescale)
            sample.pred_instances = result
        return list(batch_data_samples)

    def tensor_form(self, query: Query) -> TensorForm:
        """See :meth:`GroundingDetector.tensor_form`."""
        from glipkit.models.detectors.glip_tensors import GLIPTensors  # which knows this class
        return GLIPTensors(self, query)

    # -- names learned from examples ------------------------------------------------------------

    refines_names = True

    def example_prompts(self, names: Sequence[str], negatives: Sequence[str]) -> list[Prompt]:
        """See :meth:`GroundingDetector.example_prompts`."""
        return glip_examples.example_prompts(names, negatives, self.text_encoder.tokenizer,
                                             self.prompt_budget)

    def start_rows(self, prompt: Prompt, maps: Sequence[Sequence[Tensor]],
                   samples: Sequence[DetDataSample]) -> Tensor:
        """See :meth:`GroundingDetector.start_rows`."""
        return glip_examples.start_rows(self, prompt, maps, samples)

    def prompt_loss(self, prompt: Prompt, rows: Tensor, maps: Sequence[Tensor],
                    samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """See :meth:`GroundingDetector.prompt_loss`."""
        return glip_examples.prompt_loss(self, prompt, rows, maps, samples)

    def learned_parts(self, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> dict[str, Any]:
        """See :meth:`GroundingDetector.learned_parts`."""
        return dict(text_encoder=glip_examples.learned_encoder(self, prompts, rows),
                    learned_prompts=tuple(prompts))

    # -- the parts ------------------------------------------------------------------------------

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> pyramid maps (B, C, H_i, W_i), finest first."""
        return self.neck(self.backbone(batch_inputs))

    def _maps(self, images: Tensor) -> Sequence[Tensor]:
        """As `extract_feat`, in prediction."""
        if self.graphs is None or self.training:
            return self.extract_feat(images)
        return self.graphs(self, self.extract_feat, images)

    def _outputs(self, maps: Sequence[Tensor], text: TextFeatures) -> HeadOutputs:
        """As `bbox_head`, in prediction."""
        if self.graphs is None or self.training:
            return self.bbox_head(maps, text)

        def head(hidden: Tensor, mask: Tensor, *maps: Tensor) -> list[Tensor]:
            return self.bbox_head(maps, TextFeatures(hidden, mask)).parts()

        return HeadOutputs.of_parts(self.graphs(self, head, text.hidden, text.mask, *maps))

    def token_map_of(self, tokens: TextTokens, i: int, spans: Sequence) -> Tensor:
        """Token map (K, T) of the spans of caption ``i``, on the model's device."""
        width = tokens.ids.size(1)
        return to_device(token_map(tokens.offsets[i], spans, width),
                         self.bbox_head.alignment.bias0.device)

    def _training_prompt(self, query: Query) -> Prompt:
        """One prompt; a class list that would be cut, and lose boxes by it, is refused."""
        prompt = whole_prompt(query)
        if not query.is_caption and \
                self.text_encoder.tokenizer.length(prompt.caption) > self.max_tokens:
            raise UserError(f'a training prompt of at most {self.max_tokens} tokens',
                            f'{len(prompt)} classes that take more',
                            'sample classes with SampleClassPrompt in the training pipeline')
        return prompt

    @property
    def prompt_budget(self) -> int:
        """Largest number of tokens of one prompt in prediction.

        The number of the test settings, or else that of the model.
        """
        return self.test_settings.max_tokens or self.max_tokens

    def build_prompts(self, query: Query) -> list[Prompt]:
        """As few prompts as possible for class names, one with its phrases for a caption."""
        if query.templates:
            raise UserError('class names without templates',
                            f'{len(query.templates)} templates, such as {query.templates[0]!r}',
                            'leave them out: this model reads all classes in one caption; '
                            'caption_prompt takes hand-written prompts')
        if not query.is_caption:
            return split_class_prompt([name for name, _ in query.asked],
                                      self.text_encoder.tokenizer, self.prompt_budget,
                                      caption_prompt=query.caption_prompt,
                                      labels=[label for _, label in query.asked])
        phrases = query.phrases
        if phrases is None:
            phrases = extract_phrases(query.caption)
        if not len(phrases):
            raise UserError('a caption with at least one phrase to ground', repr(query.caption),
                            'name its character spans in `phrases`')
        return [phrase_prompt(query.caption, phrases)]

    def _ground(self, levels: Sequence[Tensor],
                queries: Sequence[Query]) -> Iterator[tuple[int, Candidates]]:
        """Candidates of every image for each prompt of its query, as (image, candidates)."""
        prompts = [self.prompts(query) for query in queries]
        # One round needs no look at the memory.
        rounds = rounds_at_once(levels) if max(map(len, prompts)) > 1 else 1
        device = levels[0].device
        on_cpu = device.type == 'cpu'
        passes = plan_passes(prompts, 1 if on_cpu else rounds)
        # Text is read before the threads begin, so that equal captions are read once.
        asked = []
        for one in passes:
            tokens, maps = self._read(tuple(prompt for _, prompt in one), device)
            asked.append((one, maps, self.encode_text(tokens)))

        def pass_head(one: tuple[PromptPass, TokenMaps, TextFeatures]) -> list[Candidates]:
            pairs, token_maps, text = one
            maps = rows_of(levels, [i for i, _ in pairs])
            outputs = self._outputs(maps, text)
            pools = [Pool.of([prompt], queries[i]) for i, prompt in pairs]
            return self.bbox_head.candidates(outputs, token_maps, self.test_settings, pools)

        results = run_passes(pass_head, asked, rounds) if on_cpu else map(pass_head, asked)
        for one, candidates_of_pass in zip(passes, results):
            for (i, prompt), candidates in zip(one, candidates_of_pass):
                columns = Pool.of([prompt], queries[i]).columns
                candidates.labels = labels_of_columns(candidates.labels, columns)
                yield i, candidates

    def _read(self, prompts: tuple[Prompt, ...],
              device: torch.device) -> tuple[TextTokens, TokenMaps]:
        """Tokens and token maps of prompts, made once for equal ones."""
        def build() -> tuple[TextTokens, TokenMaps]:
            tokens = self.tokenize(prompts)
            return tokens, token_maps(tokens, prompts, device)

        return self.prompt_cache.get((prompts, self.text_encoder.tokenizer, device), build)
