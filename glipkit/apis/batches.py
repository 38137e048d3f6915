"""Images on their way through a detector: its test pipeline, batches of one size, results."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.structures import InstanceData

from glipkit.apis.arguments import Shown
from glipkit.apis.detections import Detections
from glipkit.apis.images import ImageSource, to_bgr, to_rgb, unreadable
from glipkit.data.transforms.loading import load_image
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.registry import TRANSFORMS, building_in
from glipkit.text.query import Query


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image on its way into the model, from :meth:`Predictor.prepare`."""

    source: ImageSource
    names: tuple[str, ...]
    channel_order: str
    packed: dict[str, Any]
    category_ids: tuple[int, ...] | None = None


Pipelines = tuple[Callable[[dict], dict], Callable[[dict], dict]]


def build_pipelines(cfg: Config) -> Pipelines:
    """The first step of the test pipeline, which reads files, and all later steps."""
    steps = list(cfg.get('test_pipeline', ()))
    if not steps or not re.search(r'\bLoadImage(FromFile)?$', str(steps[0].get('type'))):
        raise UserError('a config whose test_pipeline starts with mmdet.LoadImageFromFile',
                        str(steps[0].get('type')) if steps else 'none', 'pass another config')
    # There are no annotations here.
    steps = [step for step in steps if 'LoadAnnotations' not in str(step['type'])]
    with building_in(cfg.get('default_scope', 'glipkit')):
        built = [TRANSFORMS.build(step) for step in steps]
    return partial(load_image, built[0]), Compose(built[1:])


def prepare_image(pipelines: Pipelines, source: ImageSource, query: Query, names: tuple[str, ...],
                  channel_order: str, category_ids: tuple[int, ...] | None = None) -> Prepared:
    """Decodes and resizes one image; for the arguments see `Predictor.prepare`.

    Raises:
        UserError: The image cannot be read.
    """
    return pack_image(pipelines, read_image(pipelines, source, channel_order), source, query, names,
                      channel_order, category_ids)


def read_image(pipelines: Pipelines, source: ImageSource, channel_order: str) -> dict[str, Any]:
    """An image as the first step of a pipeline gives it: ``img`` (H, W, 3) BGR, and its sizes.

    Raises:
        UserError: It cannot be read.
    """
    load, _ = pipelines
    if source.path is not None:
        try:
            return load({'img_path': str(source.path), 'img_id': source.position})
        except Exception as error:  # every decoder has errors of its own
            raise unreadable(source, error) from error
    return as_read(to_bgr(source, channel_order), source)


def as_read(image: np.ndarray, source: ImageSource) -> dict[str, Any]:
    """Pixels (H, W, 3) BGR as `read_image` gives them.

    As LoadImageFromNDArray does, but the path and the id of the image are kept.
    """
    return {'img': image, 'img_path': str(source), 'img_id': source.position,
            'img_shape': image.shape[:2], 'ori_shape': image.shape[:2]}


def pack_image(pipelines: Pipelines, results: dict[str, Any], source: ImageSource, query: Query,
               names: tuple[str, ...], channel_order: str,
               category_ids: tuple[int, ...] | None = None) -> Prepared:
    """Resizes what `read_image` gave; for the other arguments see `Predictor.prepare`."""
    _, pack = pipelines
    fields = query.as_fields()
    packed = pack({**results, **fields})
    packed['data_samples'].set_metainfo(fields)
    return Prepared(source, names, channel_order, packed, category_ids)


def run_by_size(model: GroundingDetector, packed: list[dict[str, Any]]) -> list[Any]:
    """Runs images of equal size together, so that none is padded; results in the given order."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, sample in enumerate(packed):
        groups.setdefault(tuple(sample['inputs'].shape), []).append(i)
    results: list[Any] = [None] * len(packed)
    for members in groups.values():
        for i, sample in zip(members, _run(model, [packed[i] for i in members])):
            results[i] = sample
    return results


def _run(model: GroundingDetector, packed: list[dict[str, Any]]) -> list[Any]:
    """Runs images of one size; in halves, where they do not find room on the GPU together."""
    batch = {'inputs': [one['inputs'] for one in packed],
             'data_samples': [one['data_samples'] for one in packed]}
    try:
        with torch.no_grad():
            return list(model.test_step(batch))
    except torch.OutOfMemoryError as error:
        if len(packed) == 1:
            size = ' x '.join(map(str, packed[0]['inputs'].shape[:0:-1]))
            raise UserError(f'room on the GPU for one image, which the model sees in {size} pixels',
                            'too little', 'use dtype bf16, the CPU, or a smaller model') from error
    # Outside the handler, whose error holds on to what was there.
    torch.cuda.empty_cache()
    half = (len(packed) + 1) // 2
    return _run(model, packed[:half]) + _run(model, packed[half:])


def collect(sample: Any, item: Prepared, shown: Shown) -> Detections:
    """Detections of one image that are to be shown, clipped to it."""
    height, width = sample.ori_shape
    source = item.source
    found: InstanceData = sample.pred_instances.cpu()
    boxes = found.bboxes.float().numpy()
    boxes = boxes.clip(0, np.array([width, height, width, height], np.float32))
    everything = Detections(
        boxes=boxes.reshape(-1, 4), scores=found.scores.float().numpy(),
        labels=found.labels.numpy().astype(np.int64), classes=tuple(item.names),
        size=(height, width), path=source.path, image=collect_image(item),
        category_ids=item.category_ids, image_id=source.position)
    return shown.choose(everything)


def collect_image(item: Prepared) -> Any:
    """What results draw on: the path, or a copy of the pixels, RGB.

    A copy, as the caller may overwrite them before this image is drawn.
    """
    return picture_of(item.source, item.channel_order)


def picture_of(source: ImageSource, channel_order: str) -> Any:
    """As `collect_image`, of an image that has not been prepared."""
    if isinstance(source.pixels, np.ndarray):
        backwards = channel_order == 'bgr' and source.pixels.ndim == 3
        return (source.pixels[..., ::-1] if backwards else source.pixels).copy()
    return source.path if source.pixels is None else to_rgb(source.pixels, source)
