"""Phrase recall on Flickr30k Entities, or any set in its layout."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from glipkit.data.formats.coco_json import is_id
from glipkit.data.formats.phrase_spans import checked_spans
from glipkit.data.formats.reading import as_box, as_crowd, read_json
from glipkit.errors import UserError
from glipkit.evaluation.functional.phrase_recall import first_hit, phrase_recall
from glipkit.evaluation.metrics.array_metric import ArrayMetric
from glipkit.evaluation.metrics.classes import finite_scores, known_image
from glipkit.evaluation.metrics.trimming import is_trimmed, trim
from glipkit.registry import METRICS

Span = tuple[int, int]


class Phrase(NamedTuple):
    """A phrase of the ground truth: its spans, its (G, 4) xyxy boxes, and its types."""
    spans: list[Span]
    boxes: np.ndarray
    types: tuple[str, ...]


@METRICS.register_module()
class PhraseRecallMetric(ArrayMetric):
    """Recall at 1, 5, 10 and of all boxes, per phrase.

    Ground truth is MDETR's json (final_flickr_separateGT_*.json): a record of ``images`` is one
    sentence, with its ``caption`` and in ``tokens_positive_eval`` the spans of its phrases, and a
    phrase has the boxes of all ``annotations`` of that record whose ``tokens_positive`` hold its
    span. ``phrase_types``, a list beside ``tokens_positive_eval`` of one type or a list of types
    each, is used where it exists. Phrases without boxes are not scored. A predicted label is
    an index into its sample's ``phrases``, which are matched by their spans.

    ``pred_instances.bboxes`` are xyxy pixels of the original image with exclusive right and bottom
    edge, as x and x + w of the file are.

    Metrics: flickr_any/R@1, R@5, R@10, R@all, and for a type flickr_any/people_R@1 etc.; with
    ``merged`` flickr_merged/... From 0 to 1; -1 where there is no phrase.

    Args:
        ann_file: Path of the json.
        merged: Whether to score against the one box that encloses all boxes of a phrase. Otherwise
            any of its boxes counts, the protocol of the numbers of Li et al., CVPR 2022.
        topk: Numbers of best boxes that count.
        add_pixel: False is ``trim_pixel=True``, True is ``trim_pixel=False``; for configs of
            version 0.1.
        prefix: Prefix of the names of metrics; None takes the name of the protocol.
        trim_pixel: Whether predicted boxes first lose a pixel of their width and height, as in
            the code of Li et al., CVPR 2022.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.

    Raises:
        UserError: The file cannot be understood.
    """

    def __init__(self, ann_file: str, merged: bool = False, topk: Sequence[int] = (1, 5, 10),
                 add_pixel: bool | None = None, prefix: str | None = None,
                 trim_pixel: bool = True, **kwargs: Any) -> None:
        super().__init__(prefix=prefix or f'flickr_{"merged" if merged else "any"}', **kwargs)
        if not topk or not all(type(k) is int and k > 0 for k in topk):
            raise UserError('topk as a list of positive whole numbers', repr(topk),
                            'pass e.g. topk=(1, 5, 10)')
        self.ann_file, self.merged = str(ann_file), merged
        self.trim_pixel = is_trimmed(trim_pixel, add_pixel)
        self.topk = tuple(topk)
        self.sentences, self.without_boxes = read_phrases(ann_file)
        self.reset()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Ranks the phrases of a batch.

        Raises:
            UserError: A sentence that the file lacks, or a phrase of the file that the sample was
                not asked for.
        """
        for sample in data_samples:
            sentence = known_image(sample['img_id'], self.sentences, self.ann_file)
            found = sample['pred_instances']
            boxes = found['bboxes'].detach().cpu().double().numpy().reshape(-1, 4)
            boxes = trim(boxes) if self.trim_pixel else boxes
            scores = finite_scores(found['scores'].detach().cpu().numpy(), sentence)
            labels = found['labels'].cpu().numpy()
            asked = [sorted(map(tuple, spans)) for spans in sample.get('phrases') or ()]
            ranks = []
            for phrase in self.sentences[sentence]:
                own = labels == self._label(phrase, asked, sentence)
                ranks.append(first_hit(boxes[own], scores[own], phrase.boxes, self.merged))
            self._ranks[sentence] = ranks

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """Sentence (P,) and rank (P,) of each phrase."""
        counts = [len(ranks) for ranks in self._ranks.values()]
        ranks = [rank for ranks in self._ranks.values() for rank in ranks]
        return (np.repeat(np.array(list(self._ranks), dtype=np.int64), counts),
                np.array(ranks, dtype=np.int32))

    def reset(self) -> None:
        """Removes all ranks."""
        self._ranks: dict[int, list[int]] = {}

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        """Recall over the phrases of all processes."""
        by_sentence: dict[int, np.ndarray] = {}
        for sentence, ranks in results:
            for own in np.unique(sentence).tolist():  # a repeated one has the same ranks
                by_sentence[own] = ranks[sentence == own]
        ranks = np.concatenate([*by_sentence.values(), np.zeros(0, np.int32)])
        types = [phrase.types for own in by_sentence for phrase in self.sentences[own]]
        scores = phrase_recall(ranks, types, self.topk, self.merged)
        total = sum(map(bool, self.sentences.values()))
        self.protocol = (f'{scores.protocol}, {len(by_sentence)} of {total} sentences with boxes, '
                         f'{self.without_boxes} phrases without boxes left out, {self.ann_file}')
        metrics = dict(scores.overall)
        for name, recalls in scores.per_type.items():
            metrics.update({f'{name}_{key}': value for key, value in recalls.items()})
        return metrics

    def _label(self, phrase: Phrase, asked: list[list[Span]], sentence: int) -> int:
        """Label of a phrase: of its very spans, or else of a question that shares the most."""
        if phrase.spans in asked:  # phrases may have some spans in common
            return asked.index(phrase.spans)
        shared = [len(set(phrase.spans) & set(spans)) for spans in asked]
        if any(shared):
            return int(np.argmax(shared))
        raise UserError(f'samples with all phrases of {self.ann_file}',
                        f'sentence {sentence} without {list(phrase.spans)}',
                        'read the test set from the same file')


def read_phrases(path: str) -> tuple[dict[int, list[Phrase]], int]:
    """Sentence id -> its phrases that have boxes, and the number of phrases that have none.

    Raises:
        UserError: Not such a file, or a record that cannot be understood; names the record.
    """
    content = read_json(path, "MDETR's json of Flickr30k Entities")
    lists = [content.get(key) if isinstance(content, dict) else None
             for key in ('images', 'annotations')]
    if not all(isinstance(value, list) for value in lists):
        raise UserError("a json with the lists 'images' and 'annotations'", str(path),
                        'check that this is the right file')
    captions, boxes_of = {}, {}
    for i, image in enumerate(lists[0]):
        if not isinstance(image, dict) or not is_id(image.get('id')) or \
                not isinstance(image.get('caption'), str):
            raise UserError('a sentence with a whole number id and a caption',
                            f'{path}: images[{i}]', 'correct the record')
        if image['id'] in captions:
            raise UserError('sentence ids that differ',
                            f'{path}: images[{i}]: id {image["id"]} again',
                            'give every sentence its own id')
        captions[image['id']], boxes_of[image['id']] = image['caption'], {}
    for i, record in enumerate(lists[1]):
        where = f'{path}: annotations[{i}]'
        if not isinstance(record, dict) or not is_id(record.get('image_id')) \
                or record['image_id'] not in captions:
            raise UserError('annotations of the listed images', where, 'correct the image_id')
        x, y, w, h = as_box(record.get('bbox'), where, 'x, y, width, height')
        if as_crowd(record.get('iscrowd'), where):
            continue  # as the reader of the test set does
        for span in checked_spans(captions[record['image_id']], record.get('tokens_positive'),
                                  where):
            boxes_of[record['image_id']].setdefault(span, []).append([x, y, x + w, y + h])
    sentences, without = {}, 0
    for i, image in enumerate(lists[0]):
        phrases = _phrases(image, boxes_of[image['id']], f'{path}: images[{i}]')
        sentences[image['id']] = [phrase for phrase in phrases if len(phrase.boxes)]
        without += len(phrases) - len(sentences[image['id']])
    return sentences, without


def _phrases(image: dict, boxes_of: dict[Span, list], where: str) -> list[Phrase]:
    listed = image.get('tokens_positive_eval')
    if not isinstance(listed, list):
        raise UserError('sentences with tokens_positive_eval, spans phrase by phrase', where,
                        'use the validation or test file; training files lack them')
    types = image.get('phrase_types') or [()] * len(listed)
    types = [[names] if isinstance(names, str) else names for names in types] \
        if isinstance(types, list) else []
    if len(types) != len(listed) or not all(
            isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
            for names in types):
        raise UserError('phrase_types as a list beside tokens_positive_eval', where, 'correct it')
    phrases = []
    for spans, names in zip(listed, types):
        spans = checked_spans(image['caption'], spans, where)
        boxes = {tuple(box) for span in spans for box in boxes_of.get(span, ())}
        phrases.append(Phrase(spans, np.array(sorted(boxes)).reshape(-1, 4), tuple(names)))
    return phrases
