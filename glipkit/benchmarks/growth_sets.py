"""Training sets of any number of images, and what a training asks of them, as jobs."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import glipkit.data.registrations  # noqa: F401 - registers the readers
from glipkit.apis.training import load_config, set_max_iters, train
from glipkit.data.mixing import MixedDataset
from glipkit.data.samplers import DrawSampler
from glipkit.registry import DATASETS

#: What is timed -> the job of it.
JOBS = {'open a COCO json': 'open_json', 'open lines of JSON': 'open_lines',
        'order of a pass': 'order', 'train 8 steps': 'training'}
STEPS = 8
BOXES, CLASSES, SIZE = 7, 80, (320, 192)
#: Files that all images of a set share: their number does not matter to what is timed here.
FILES = 16


def write_set(folder: Path, images: int) -> Path:
    """Writes a training set as COCO json and as lines of JSON.

    Args:
        folder: Where a folder for it is made; one that is there already is taken as it is.
        images: Records of images. They share a few small files.

    Returns:
        Its folder, with ``coco.json``, ``odvg.jsonl``, ``labels.json`` and ``images/``.
    """
    place = folder / str(images)
    if place.exists():
        return place
    (place / 'images').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(FILES):
        pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / 'images' / f'{i}.jpg')
    corners = rng.uniform(0, .6, (images, BOXES, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(.1, .4, corners.shape)], 2)
    boxes = np.round(boxes * [*SIZE, *SIZE], 1).tolist()
    labels = rng.integers(CLASSES, size=(images, BOXES)).tolist()
    with open(place / 'odvg.jsonl', 'w', encoding='utf-8') as lines:
        for i in range(images):
            found = [dict(bbox=box, label=label) for box, label in zip(boxes[i], labels[i])]
            lines.write(json.dumps(dict(
                filename=f'{i % FILES}.jpg', width=SIZE[0], height=SIZE[1],
                detection=dict(instances=found))) + '\n')
    names = {i: f'thing {i}' for i in range(CLASSES)}
    (place / 'labels.json').write_text(json.dumps(names), encoding='utf-8')
    _write_coco(place / 'coco.json', boxes, labels, names)
    return place


def _write_coco(path: Path, boxes: list, labels: list, names: dict[int, str]) -> None:
    images = [dict(id=i, file_name=f'{i % FILES}.jpg', width=SIZE[0], height=SIZE[1])
              for i in range(len(boxes))]
    flat = ((i, box, label) for i, (some, kinds) in enumerate(zip(boxes, labels))
            for box, label in zip(some, kinds))
    annotations = [
        dict(id=number, image_id=i, category_id=label, iscrowd=0,
             bbox=[x, y, round(right - x, 1), round(bottom - y, 1)],
             area=round((right - x) * (bottom - y), 1))
        for number, (i, (x, y, right, bottom), label) in enumerate(flat)]
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(dict(images=images, annotations=annotations,
                       categories=[dict(id=i, name=name) for i, name in names.items()]), file)


def json_config(folder: str) -> dict[str, Any]:
    """The COCO json of a set as the source of a training."""
    return dict(type='glipkit.CocoDetection', ann_file='coco.json', data_root=folder,
                data_prefix=dict(img='images/'))


def lines_config(folder: str) -> dict[str, Any]:
    """The lines of a set as the source of a training."""
    return dict(type='glipkit.OdvgGrounding', ann_file='odvg.jsonl', data_root=folder,
                label_map_file='labels.json', data_prefix=dict(img='images/'))


# -- jobs -----------------------------------------------------------------------------------------


def open_json(folder: str, threads: int, seed: int) -> Callable[[], None]:
    """A job: a COCO json becomes a training set.

    Args:
        folder: From `write_set`.
        threads: Threads of torch.
        seed: Of what is drawn at random.
    """
    torch.set_num_threads(threads)

    def job() -> None:
        DATASETS.build(json_config(folder))

    return job


def open_lines(folder: str, threads: int, seed: int) -> Callable[[], None]:
    """A job: a file of lines becomes a training set, its index made anew. See `open_json`."""
    torch.set_num_threads(threads)

    def job() -> None:
        for index in Path(folder).glob('*.npy'):
            index.unlink()
        DATASETS.build(lines_config(folder))

    return job


def order(folder: str, threads: int, seed: int) -> Callable[[], None]:
    """A job: every draw of one pass over the set, without its images. See `open_json`."""
    torch.set_num_threads(threads)
    dataset = MixedDataset([json_config(folder)], seed=seed)

    def job() -> None:
        sampler = DrawSampler(dataset)
        for _ in zip(range(len(sampler)), sampler):
            pass

    return job


def training(folder: str, threads: int, seed: int) -> Callable[[], None]:
    """A job: all of ``glipkit train glip-mini`` but for its length. See `open_json`."""
    torch.set_num_threads(threads)
    results = Path(folder) / 'work'

    def job() -> None:
        cfg = load_config('glip-mini', {'randomness.seed': seed}, str(results))
        cfg.train_dataloader.dataset.datasets = [json_config(folder)]
        for key in [key for key in cfg if key.startswith('val_')]:
            cfg[key] = None
        set_max_iters(cfg, STEPS)
        train(cfg)
        shutil.rmtree(results)

    return job
