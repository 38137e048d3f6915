"""Times the training loader against mmdet's own, on the same JPEG images."""
from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.utils import register_all_modules
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS as ALL_DATASETS
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import glipkit.data.registrations  # noqa: F401 - registers the reader and the transforms
from glipkit.benchmarks.harness import alternate, ratio, ratio_range
from glipkit.worlds.backgrounds import draw_scenery

SUMMARY = 'time the training loader against mmdet'
EXAMPLES = '''examples:
  glipkit bench loader
  glipkit bench loader --images 60 --rounds 9 --workers 2
'''
NOTES = (
    'A round is one pass over all images, decoded, resized to 800 x 1333, flipped and packed.',
    "'fast' is what the training configs have: OpenCV where its pixels are Pillow's. mmdet decodes "
    'and resizes by OpenCV unless it is told otherwise; its own GLIP configs say Pillow.',
    'The ratio is the time of the pipeline over that of mmdet: with OpenCV for ours with OpenCV '
    'and the fast one, with Pillow for ours with Pillow.')
LIBRARIES = {'fast': 'fast', 'Pillow': 'pillow', 'OpenCV': 'cv2'}

_SIZES = ((640, 480), (640, 427), (480, 640), (612, 612))
_CLASSES = 80
_BOXES = 8
_SCALE = (1333, 800)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--images', type=int, default=60, help='JPEG images (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=2,
                        help='loader processes (default: %(default)s)')
    parser.add_argument('--batch', type=int, default=2,
                        help='images a batch (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=7, help='passes timed (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1,
                        help='passes before that (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    register_all_modules(init_default_scope=False)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), args.images)
        passes = {name: _pass_of(ALL_DATASETS.build(config), args)
                  for name, config in configs(folder).items()}
        timings = alternate(passes, args.rounds, args.warmup)
    rows = []
    for name, timing in timings.items():
        library = name.split(', ')[1]
        peer = timings[f'mmdet, {"OpenCV" if library == "fast" else library}']
        low, high = ratio_range(timing, peer)
        rows.append({
            'candidate': name, 'seconds': timing.median, 'iqr': timing.iqr,
            'images per second': args.images / timing.median, 'ratio': ratio(timing, peer),
            'least ratio': low, 'greatest ratio': high, 'rounds': timing.seconds
        })
    setting = {'images': args.images, 'workers': args.workers, 'batch': args.batch,
               'rounds': args.rounds}
    return {'setting': setting, 'rows': rows, 'notes': [*NOTES]}


def write_images(folder: Path, count: int) -> None:
    """Writes JPEG images of usual sizes, and ``coco.json`` with boxes drawn at random."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(count):
        width, height = _SIZES[i % len(_SIZES)]
        pixels = draw_scenery(max(width, height), rng)[:height, :width]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f'{i}.jpg', quality=92)
        images.append(dict(id=i, file_name=f'{i}.jpg', width=width, height=height))
        for _ in range(_BOXES):
            x, y = rng.uniform(0, .5, 2) * (width, height)
            w, h = rng.uniform(.1, .5, 2) * (width, height)
            annotations.append(dict(
                id=len(annotations), image_id=i, category_id=int(rng.integers(_CLASSES)),
                bbox=[x, y, w, h], area=w * h, iscrowd=0))
    categories = [dict(id=i, name=f'thing {i}') for i in range(_CLASSES)]
    (folder / 'coco.json').write_text(json.dumps(
        dict(images=images, annotations=annotations, categories=categories)))


def configs(folder: str) -> dict[str, dict[str, Any]]:
    """Candidate -> dataset config."""
    common = dict(data_root=folder, ann_file='coco.json', data_prefix=dict(img=''))
    names = tuple(f'thing {i}' for i in range(_CLASSES))
    boxes = dict(type='mmdet.LoadAnnotations', with_bbox=True)
    flip = dict(type='mmdet.RandomFlip', prob=0.5)
    found = {}
    for library, backend in LIBRARIES.items():
        ours = [dict(type='glipkit.LoadImage', imdecode_backend=backend), boxes,
                dict(type='glipkit.ShortSideResize', scale=_SCALE, backend=backend), flip,
                dict(type='glipkit.SampleClassPrompt'), dict(type='glipkit.PackGrounding')]
        found[f'glipkit, {library}'] = dict(
            type='glipkit.CocoDetection', pipeline=ours, **common)
        if library == 'fast':
            continue
        theirs = [dict(type='mmdet.LoadImageFromFile', imdecode_backend=backend), boxes,
                  dict(type='mmdet.Resize', scale=_SCALE, keep_ratio=True, backend=backend), flip,
                  dict(type='mmdet.PackDetInputs')]
        found[f'mmdet, {library}'] = dict(
            type='mmdet.CocoDataset', pipeline=theirs, metainfo=dict(classes=names), **common)
    return found


def _pass_of(dataset: Dataset, args: argparse.Namespace) -> Callable[[], None]:
    """A function that takes all images of a set through a loader whose workers stay alive."""
    loader = DataLoader(dataset, args.batch, shuffle=True, num_workers=args.workers,
                        collate_fn=pseudo_collate, persistent_workers=args.workers > 0)

    def go() -> None:
        for _ in loader:
            pass

    return go
