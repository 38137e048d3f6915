"""From nothing to a detector: a world, the mini model pre-trained on it, and a report."""
from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from glipkit import Predictor, load
from glipkit.apis.detections import Detections
from glipkit.apis.environment import collect
from glipkit.apis.training import load_config, move_data, set_max_iters, test, train
from glipkit.common.boxes import to_xyxy
from glipkit.common.reporter import note
from glipkit.engine.resuming import newest_checkpoint
from glipkit.errors import UserError
from glipkit.files import write_text
from glipkit.reports.pictures import plot_curves, plot_grid, read_scalars, write_markdown
from glipkit.reports.time_box import TimeBox, fit_into

GROUPS = {'seen': 'combinations seen in training', 'unseen': 'never seen in training',
          'caption_only': 'seen in captions only'}


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the demo.

    Args:
        world: ``'shapes'`` or ``'stamps'``.
        out: Folder of the world, the training and the report.
        iters: Training iterations; None takes as many as fit into ``minutes``.
        minutes: Time of the training; the config's number of iterations is the most that it takes.
        train_pictures: Training pictures with boxes, and as many with captions; None takes the
            world's own numbers.
        val_pictures: Validation pictures; None takes the world's own number.
        pictures: Pictures in the report.
        stamps_dir: Stamps folder of the stamps world; None downloads the package.
    """
    world: str
    out: Path
    iters: int | None = None
    minutes: float = 8.
    train_pictures: int | None = None
    val_pictures: int | None = None
    pictures: int = 8
    stamps_dir: str | None = None


@dataclass(frozen=True)
class DemoResult:
    """Result of the demo.

    Args:
        metrics: Metrics of the evaluation, ``coco/unseen_AP50`` and so on.
        report: Path of the markdown file.
    """
    metrics: dict[str, float]
    report: Path


def demo(settings: DemoSettings) -> DemoResult:
    """Makes the world, trains, evaluates and reports; resumes where an earlier call was cut off.

    Raises:
        UserError: The folder holds other files, or there are no stamps.
    """
    data = settings.out / 'data'
    manifest = _make_world(settings, data)
    start = time.time()
    cfg, checkpoint, length = pretrain(settings, data)
    seconds = time.time() - start
    note('zero-shot evaluation')
    metrics = test(cfg, checkpoint)
    model = load(_config(settings.world), checkpoint)
    draw(model, data, settings.pictures, settings.out / 'predictions.png')
    report = write_report(settings, data, metrics, manifest, seconds, cfg, length)
    return DemoResult(metrics, report)


def _make_world(settings: DemoSettings, data: Path) -> dict[str, Any]:
    sizes = dict(num_train_det=settings.train_pictures, num_train_grd=settings.train_pictures,
                 num_val=settings.val_pictures, stamps_dir=settings.stamps_dir)
    build = import_module(f'glipkit.worlds.{settings.world}').build
    return build(data, **{name: value for name, value in sizes.items() if value is not None})


def _config(world: str) -> str:
    return f'configs/glip/glip-mini_{world}.py'


def pretrain(settings: DemoSettings, data: Path) -> tuple[Config, str, TimeBox | None]:
    """Trains on the world, from the newest checkpoint where there is one.

    Returns:
        The config, the path of the last checkpoint, and the length of the training where it had
        to fit into a time.
    """
    folder = settings.out / 'training'
    cfg = load_config(_config(settings.world), work_dir=str(folder))
    move_data(cfg, cfg.data_root, f'{data}/')
    length = None
    if settings.iters is None:
        length = fit_into(cfg, settings.minutes, settings.out / 'length.json')
    set_max_iters(cfg, settings.iters or length.iterations)
    cfg.custom_hooks.append(dict(type='ProgressBarHook'))
    cfg.log_level = 'WARNING'
    train(cfg, resume=True)
    last = newest_checkpoint(folder)
    if last is None:
        raise UserError(f'the last checkpoint of the training in {folder}', 'none',
                        'run the command again')
    return cfg, str(last), length


def draw(model: Any, data: Path, pictures: int, path: Path) -> None:
    """Draws ground truth above predictions for the first validation images."""
    truth = json.loads((data / 'annotations/val.json').read_text())
    names = {c['id']: c['name'] for c in truth['categories']}
    order = {category: label for label, category in enumerate(sorted(names))}
    classes = tuple(names[category] for category in order)
    predict = Predictor(model, score_threshold=0.3)
    pairs = []
    for image in truth['images'][:pictures]:
        file = data / 'images/val' / image['file_name']
        rows = [a for a in truth['annotations'] if a['image_id'] == image['id']]
        boxes = to_xyxy(np.array([a['bbox'] for a in rows], np.float32).reshape(-1, 4))
        labels = np.array([order[a['category_id']] for a in rows], np.int64)
        given = Detections(boxes, np.ones(len(rows), np.float32), labels, classes,
                           (image['height'], image['width']), file, file)
        pairs.append((given, predict(file, classes=list(classes))[0]))
    plot_grid(pairs, path)


def write_report(settings: DemoSettings, data: Path, metrics: dict[str, float],
                 manifest: dict[str, Any], seconds: float, cfg: Config,
                 length: TimeBox | None) -> Path:
    """Writes the curves, the metrics and the markdown; returns the path of the latter.

    Args:
        settings: Settings of the demo.
        data: Folder of the world.
        metrics: Metrics of the evaluation.
        manifest: Manifest of the world.
        seconds: Time of the training in this call.
        cfg: Config of the training.
        length: How far it went in the time that it had; None where there was no such bound.
    """
    out = settings.out
    plot_curves(read_scalars(out / 'training'), out / 'curves.png',
                [f'coco/{group}_AP50' for group in GROUPS])
    environment = collect()
    counts = {name: part['pictures'] for name, part in manifest['counts'].items()}
    setup = {
        'world': f'{settings.world}, {data}',
        'training images': ', '.join(f'{count} {name}' for name, count in counts.items()
                                     if name != 'val'),
        'iterations': f'{cfg.train_cfg.max_iters} of {cfg.train_dataloader.batch_size} images',
        **({} if length is None else {'time box': str(length)}),
        'training time': f'{seconds / 60:.1f} min in this run',
        'torch': environment['foundations']['torch'],
        'machine': environment['system']['cpu'],
    }
    scores = {f'AP50, {meaning}': metrics[f'coco/{group}_AP50']
              for group, meaning in GROUPS.items()}
    path = out / 'report.md'
    write_markdown(
        path, f'glipkit demo: {settings.world}', setup,
        {**scores, 'AP50, all': metrics['coco/AP50'], 'AP, all': metrics['coco/AP'],
         'best label right, all': metrics['coco/best_label'],
         'labels per object': metrics['coco/labels_per_object']},
        {'Ground truth (upper) and predictions (lower)': 'predictions.png',
         'Curves': 'curves.png'})
    write_text(out / 'metrics.json', json.dumps(metrics, indent=2) + '\n')
    return path
