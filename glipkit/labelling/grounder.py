"""A teacher that turns image-caption pairs into grounding data, in batches on all cores."""
from __future__ import annotations

import io
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from glipkit.apis.batches import Prepared
from glipkit.apis.detections import Detections
from glipkit.apis.images import ImageSource, unreadable
from glipkit.apis.predictor import Predictor
from glipkit.apis.side_by_side import with_room
from glipkit.common.core_threads import WORKERS, in_order
from glipkit.data.formats.captioned import Captioned, CaptionedShard
from glipkit.errors import UserError
from glipkit.labelling.screening import screen
from glipkit.labelling.settings import LabelSettings
from glipkit.models.contract import GroundingDetector
from glipkit.text.phrases import extract_phrases
from glipkit.text.prompts import phrase_prompt
from glipkit.text.query import Query

#: On a processor, pixels of a batch from which on more images bring nothing but need more memory.
_PIXELS = 1 << 19
#: Pairs that a thread reads at a time.
_ROWS = 4


@dataclass
class Labels:
    """Pseudo-labels of some image-caption pairs.

    Args:
        lines: Pseudo-labels, each (position in the shard, record of one line).
        counts: images, captions, phrases, boxes, ..., and reasons of losses.
        losses: Position in the shard -> name of the pair, and what was lost of it and why.
        damaged: Positions of pairs with something that cannot be read.
    """

    lines: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    losses: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """(name of the pair, why) of every pair that gave nothing or has something damaged."""
        gave = {row for row, _ in self.lines} - self.damaged
        return [(key, '; '.join(sorted(set(reasons))))
                for row, (key, reasons) in sorted(self.losses.items()) if row not in gave]

    def lose(self, row: int, key: str, reason: str, detail: str, damaged: bool = False) -> None:
        """Counts a loss and keeps why."""
        self.counts[reason] += 1
        self.losses.setdefault(row, (key, []))[1].append(f'{reason}: {detail}')
        if damaged:
            self.damaged.add(row)

    def add(self, later: Labels) -> None:
        """Takes over labels of other prompts of the same pairs, or of other pairs."""
        self.lines += later.lines
        self.counts.update(later.counts)
        self.damaged |= later.damaged
        for row, (key, reasons) in later.losses.items():
            self.losses.setdefault(row, (key, []))[1].extend(reasons)


@dataclass(frozen=True)
class _Asked:
    """One prompt for one image."""

    position: int
    item: Captioned
    caption: str
    spans: tuple[tuple[int, int], ...]
    prepared: Prepared


@dataclass
class _Range:
    """Pairs of a shard, and what is known of them so far."""

    shard: CaptionedShard
    rows: range
    labels: Labels = field(default_factory=Labels)


@dataclass(frozen=True)
class _Piece:
    """Pairs that one thread reads."""

    owner: _Range
    rows: range
    last: bool


@dataclass(frozen=True)
class _Batch:
    """Prompts that the teacher sees together; the range is complete with the last batch of it."""

    owner: _Range
    asked: Sequence[_Asked]
    last: bool


class CaptionGrounder:
    """Grounds the noun phrases of captions in their images.

    On a processor several batches are at work at a time, each on one core. While they are, images
    are read and resized and phrases are found for those that follow; so they are on a GPU, which
    takes one batch after another. Images of one size share a batch; which ones do depends on the
    given range of pairs alone, so that a range that is labelled again, with any number of workers,
    gives the same lines.

    Args:
        predictor: Predictor of the teacher.
        settings: Thresholds and back end.
        workers: Number of threads; None takes as many as PyTorch has.

    Raises:
        UserError: The text encoder cannot read prompts as long as the settings ask for.
    """

    def __init__(self, predictor: Predictor, settings: LabelSettings,
                 workers: int | None = None) -> None:
        self.predictor, self.settings = predictor, settings
        self._workers = torch.get_num_threads() if workers is None else workers
        self._on_cpu = predictor.device.type == 'cpu'
        self._detect = with_room(predictor.detect) if self._on_cpu else predictor.detect
        self._tokenizer = predictor.model.text_encoder.tokenizer
        self._max_tokens = _budget(settings, predictor.model)

    def label(self, shard: CaptionedShard, rows: range) -> Labels:
        """Pseudo-labels of some pairs of a shard, in their order."""
        return next(self.label_ranges([(shard, rows)]))

    def label_ranges(self, ranges: Iterable[tuple[CaptionedShard, range]]) -> Iterator[Labels]:
        """The same for several ranges of pairs; while one ends, the next one has begun."""
        pool = WORKERS.get(self._workers)
        read = in_order(pool, self._read, _pieces(ranges), self._workers + 1)
        batches = self._batches(read)
        ground = in_order(pool, self._ground, batches, 2 * self._workers) if self._on_cpu \
            else map(self._ground, batches)
        for batch, labels in ground:
            whole = batch.owner.labels
            whole.add(labels)
            if batch.last:
                whole.lines.sort(key=lambda line: line[0])
                yield whole

    def _read(self, piece: _Piece) -> tuple[_Piece, list[_Asked], Labels]:
        """What the teacher is asked about some pairs, and what is lost of them before."""
        labels = Labels()
        asked = [one for row in piece.rows
                 for one in self._queries(piece.owner.shard, row, labels)]
        return piece, asked, labels

    def _batches(self, read: Iterable[tuple[_Piece, list[_Asked], Labels]]) -> Iterator[_Batch]:
        """Queries of one image size each, in full batches first."""
        waiting: dict[tuple[int, ...], list[_Asked]] = {}
        for piece, asked, labels in read:
            owner = piece.owner
            owner.labels.add(labels)
            for one in asked:
                size = tuple(one.prepared.packed['inputs'].shape)
                same = waiting.setdefault(size, [])
                same.append(one)
                if len(same) == self._together(size):
                    yield _Batch(owner, waiting.pop(size), False)
            if piece.last:
                left = list(waiting.values())
                yield from (_Batch(owner, one, False) for one in left[:-1])
                yield _Batch(owner, left[-1] if left else [], True)
                waiting.clear()

    def _together(self, size: tuple[int, ...]) -> int:
        """How many images (3, H, W) make a batch."""
        fitting = max(1, _PIXELS // (size[1] * size[2])) if self._on_cpu else math.inf
        return min(self.settings.batch_size, fitting)

    def _ground(self, batch: _Batch) -> tuple[_Batch, Labels]:
        """What the teacher finds."""
        labels = Labels()
        found = self._detect([one.prepared for one in batch.asked], 0., per_object='all')
        for one, detections in zip(batch.asked, found):
            self._keep(one, detections, labels)
        return batch, labels

    def _queries(self, shard: CaptionedShard, row: int, labels: Labels) -> Iterator[_Asked]:
        labels.counts['pairs'] += 1
        try:
            item = shard[row]
        except UserError as error:
            labels.lose(row, f'{shard.path}, pair {row + 1}', 'damaged records', error.got, True)
            return
        prompts = self._prompts(row, item, labels)
        if not prompts:
            return
        try:
            source = _source(item, row)
            for caption, spans in prompts:
                prompt = phrase_prompt(caption, spans)
                # Text beyond the budget has no phrase, and need not be encoded.
                query = Query.for_caption(caption[:self._budget_end(caption)], prompt.spans)
                yield _Asked(row, item, caption, spans,
                             self.predictor.prepare(source, query, prompt.names))
        except UserError as error:
            labels.lose(row, item.key, 'bad images', error.got, True)

    def _prompts(self, row: int, item: Captioned,
                 labels: Labels) -> list[tuple[str, tuple[tuple[int, int], ...]]]:
        """Captions with the phrases to ground; several short captions make one."""
        captions = []
        for caption in item.captions:
            if not _is_utf8(caption):
                labels.lose(row, item.key, 'damaged captions', ascii(caption[:80]), True)
            elif caption.strip():
                captions.append(caption)
        if not captions:
            if row not in labels.damaged:
                labels.lose(row, item.key, 'empty captions', 'no caption')
            return []
        prompts = []
        for caption in self._pack(captions):
            labels.counts['captions'] += 1
            spans = extract_phrases(caption, self.settings.backend, self.settings.picture_words)
            end = self._budget_end(caption)
            fitting = tuple(span for span in spans if span[1] <= end)
            labels.counts['phrases beyond the token limit'] += len(spans) - len(fitting)
            labels.counts['phrases'] += len(fitting)
            if fitting:
                prompts.append((caption, fitting))
            else:
                labels.lose(row, item.key, 'captions without a phrase', 'no phrase')
        return prompts

    def _pack(self, captions: Sequence[str]) -> Iterator[str]:
        """Joins captions of one image, as far as the token budget allows."""
        packed = ''
        for caption in captions:
            if not packed:
                packed = caption
                continue
            stop = '' if packed.rstrip().endswith(('.', '!', '?')) else '.'
            longer = f'{packed}{stop} {caption}'
            if self._tokenizer.length(longer) <= self._max_tokens:
                packed = longer
            else:
                yield packed
                packed = caption
        yield packed

    def _budget_end(self, caption: str) -> int:
        """Character after the last one that the token budget reaches."""
        offsets = self._tokenizer([caption]).offsets[0]
        # One of the budget's tokens is [SEP].
        return max((end for _, end in offsets[:self._max_tokens - 1]), default=0)

    def _keep(self, query: _Asked, found: Detections, labels: Labels) -> None:
        texts = [query.caption[begin:end].lower() for begin, end in query.spans]
        chosen = screen(found.boxes, found.scores, found.labels, self.settings, texts)
        if not len(chosen):
            labels.lose(query.position, query.item.key, 'captions without a box',
                        'no box that is kept')
            return
        regions = []
        grounded = set(found.labels[chosen].tolist())
        for label in sorted(grounded):
            members = chosen[found.labels[chosen] == label]
            begin, end = query.spans[label]
            regions.append(dict(
                bbox=_rounded(found.boxes[members]), score=_rounded(found.scores[members], 4),
                phrase=query.caption[begin:end], tokens_positive=[[begin, end]]))
        height, width = found.size
        labels.counts.update({'labelled captions': 1, 'grounded phrases': len(regions),
                              'boxes': len(chosen)})
        ungrounded = [list(span) for label, span in enumerate(query.spans)
                      if label not in grounded]
        labels.lines.append((query.position, dict(
            filename=query.item.filename, height=height, width=width,
            grounding=dict(caption=query.caption, regions=regions, ungrounded=ungrounded))))


def _budget(settings: LabelSettings, model: GroundingDetector) -> int:
    """Number of tokens of one prompt, after a check that the text encoder can read as many.

    Raises:
        UserError: It can read fewer.
    """
    limit = model.text_encoder.max_positions
    if settings.max_tokens > limit:
        raise UserError(f'max_tokens of at most {limit}, which the text encoder can read',
                        str(settings.max_tokens), 'lower --max-tokens')
    return settings.max_tokens


def _source(item: Captioned, row: int) -> ImageSource:
    if isinstance(item.image, Path):
        if not os.path.isfile(item.image):  # Path's own method fails for names that are too long
            raise UserError('an image file', f'no file {item.image}', 'restore it')
        return ImageSource(item.image, None, row)
    try:
        image = Image.open(io.BytesIO(item.image.read()))
        image.load()
    except Exception as error:  # every decoder has errors of its own
        raise unreadable(item.key, error) from error
    return ImageSource(None, image, row)


def _is_utf8(text: str) -> bool:
    """Whether a text can be written: JSON may hold halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pieces(ranges: Iterable[tuple[CaptionedShard, range]]) -> Iterator[_Piece]:
    for shard, rows in ranges:
        owner = _Range(shard, rows)
        begins = range(0, len(rows), _ROWS) or (0, )
        for begin in begins:
            yield _Piece(owner, rows[begin:begin + _ROWS], begin == begins[-1])


def _rounded(values: np.ndarray, digits: int = 2) -> list:
    return np.round(values.astype(np.float64), digits).tolist()
