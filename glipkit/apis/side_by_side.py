"""Many images through a predictor on a processor: each core takes a batch of its own.

One image does not keep several cores busy: small operators end before all have begun. With many
images every core works alone, and what it finds depends neither on their number nor on how many
run at a time. Images are read beside the model.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import torch
from PIL import Image

from glipkit.apis.asking import Question
from glipkit.apis.batches import Prepared
from glipkit.apis.detections import Detections
from glipkit.apis.images import ImageSource
from glipkit.common.allocator import free_memory
from glipkit.common.core_threads import WORKERS, Room, as_here, in_order
from glipkit.errors import UserError

#: Batches for each core from which on all together take less time than one after another, on any
#: number of cores: fewer could leave cores without work at the end.
_EACH = 4
#: Bytes that the detection of an image takes per pixel (measured with Swin-T and fusion: 700), and
#: the share of the free memory that all images may take together.
_BYTES, _SHARE = 1000, 0.5

Detect = Callable[..., list[Detections]]


class Finder(Protocol):
    """What is used of a `Predictor`."""

    detect: Detect
    answer: Callable[..., list[Detections]]
    device: torch.device


class Answer(NamedTuple):
    """What a batch gives: detections of the images that can be read, and why others cannot."""

    found: list[Detections]
    lost: list[tuple[ImageSource, UserError]]


def batches_of(sources: Sequence[ImageSource], size: int) -> list[Sequence[ImageSource]]:
    """Images in their order, in batches of ``size``, the last one perhaps of less."""
    return [sources[begin:begin + size] for begin in range(0, len(sources), size)]


def workers_for(batches: int) -> int:
    """Number of threads of one core each in which so many batches take the least time; 0 where
    one batch after another, each on all cores, does."""
    cores = torch.get_num_threads()
    return cores if cores > 1 and batches >= _EACH * cores else 0


def answer_batches(predictor: Finder, batches: Iterable[Sequence[ImageSource]],
                   question: Question, lose: bool, workers: int) -> Iterator[Answer]:
    """Answers for batches of images, in their order.

    Args:
        predictor: Finds them.
        batches: Images that go through the model together.
        question: What they are asked.
        lose: Whether images that cannot be read are left out; or else their error is raised.
        workers: Threads of one core each; 0 uses all cores for one batch after another, as a GPU
            does in any case.
    """
    detect = predictor.detect
    on_cpu = predictor.device.type == 'cpu'
    if on_cpu and workers:
        detect = with_room(detect)

    def answer(batch: Sequence[ImageSource]) -> Answer:
        lost: list[tuple[ImageSource, UserError]] = []
        skip = (lambda source, error: lost.append((source, error))) if lose else None
        return Answer(predictor.answer(batch, question, skip, detect), lost)

    if not on_cpu or not workers:
        return map(answer, batches)
    return in_order(WORKERS.get(workers), as_here(answer), map(_opened, batches), 2 * workers)


def with_room(detect: Detect) -> Detect:
    """``Predictor.detect`` for several threads: it waits where memory has no room for one more."""
    room = Room(_SHARE * free_memory())

    def wait_and_detect(prepared: Sequence[Prepared], *args: object,
                        **kwargs: object) -> list[Detections]:
        pixels = sum(one.packed['inputs'][0].numel() for one in prepared)
        with room.of(_BYTES * pixels):
            return detect(prepared, *args, **kwargs)

    return wait_and_detect


def _opened(batch: Sequence[ImageSource]) -> Sequence[ImageSource]:
    """The batch, whose PIL images are in memory: two threads may not read one from its file."""
    for source in batch:
        if isinstance(source.pixels, Image.Image):
            with suppress(Exception):  # raised where the image is used
                source.pixels.load()
    return batch
