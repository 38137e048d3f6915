"""From nothing to a detector: a world, a small model pre-trained on it, and a report."""
from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from glipkit import Predictor, load
from glipkit.apis.build import build_model
from glipkit.apis.detections import Detections
from glipkit.apis.environment import collect
from glipkit.apis.training import load_config, move_data, set_max_iters, test, train
from glipkit.common.boxes import to_xyxy
from glipkit.common.reporter import note
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.engine.resuming import newest_checkpoint
from glipkit.errors import UserError
from glipkit.evaluation.functional.naming import SHOWN_ABOVE
from glipkit.files import write_text
from glipkit.reports.pictures import plot_curves, plot_grid, read_scalars, write_markdown
from glipkit.reports.time_box import TimeBox, bound_evaluations, fit_into
from glipkit.worlds.stamp_source import unpack_package
from glipkit.worlds.world_files import read_manifest

#: World -> config of the model that is trained on it.
CONFIGS = {'stamps': 'configs/glip/glip-photo_stamps.py',
           'shapes': 'configs/glip/glip-mini_shapes_words.py'}
#: World -> group of its names -> what the group means.
GROUPS = {
    'stamps': {'seen': 'things shown with boxes in training',
               'unseen': 'things never shown nor named in training',
               'caption_only': 'things that captions alone name'},
    'shapes': {'seen': 'combinations seen in training', 'unseen': 'never seen in training',
               'caption_only': 'seen in captions only'}}
#: World -> minutes of training in which the whole demo, the environment made first, stays below 15
#: also where a processor is half as fast.
MINUTES = {'stamps': 7., 'shapes': 8.}
#: Checkpoints of a training, at least.
SAVED = 4
SHAPES_INSTEAD = 'or take drawn shapes: make demo WORLD=shapes (glipkit demo --world shapes)'


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the demo.

    Args:
        world: ``'shapes'`` or ``'stamps'``.
        out: Folder of the world, the training and the report.
        iters: Training iterations; None takes as many as fit into ``minutes``.
        minutes: Time of the training; the config's number of iterations is the most that it takes.
            None takes the world's of `MINUTES`.
        train_pictures: Training pictures with boxes, and as many with captions; None takes the
            world's own numbers.
        val_pictures: Validation pictures; None takes the world's own number.
        pictures: Pictures in the report.
        stamps_dir: Stamps folder of the stamps world; None downloads the package.
    """
    world: str
    out: Path
    iters: int | None = None
    minutes: float | None = None
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
        UserError: The folder holds other files, there are no stamps, or a package is not installed
            that the model begins with.
    """
    data = settings.out / 'data'
    # What is not installed is told before minutes have gone.
    build_model(load_config(CONFIGS[settings.world]))
    manifest = _make_world(settings, data)
    start = time.time()
    cfg, checkpoint, length = pretrain(settings, data, manifest['counts']['val']['pictures'])
    seconds = time.time() - start
    note('zero-shot evaluation')
    metrics = test(cfg, checkpoint)
    model = load(CONFIGS[settings.world], checkpoint)
    scored = None if length is None else length.pictures
    new = draw(model, data, settings.pictures, settings.out / 'predictions.png', scored)
    report = write_report(settings, metrics, manifest, seconds, cfg, length, new)
    return DemoResult(metrics, report)


def _make_world(settings: DemoSettings, data: Path) -> dict[str, Any]:
    sizes = dict(num_train_det=settings.train_pictures, num_train_grd=settings.train_pictures,
                 num_val=settings.val_pictures, stamps_dir=settings.stamps_dir)
    if settings.world == 'stamps' and settings.stamps_dir is None:
        read_manifest(data, 'stamps')
        try:
            unpack_package(data / 'source')
        except UserError as error:
            raise UserError(error.expected, error.got, f'{error.fix}; {SHAPES_INSTEAD}') from error
    build = import_module(f'glipkit.worlds.{settings.world}').build
    return build(data, **{name: value for name, value in sizes.items() if value is not None})


def pretrain(settings: DemoSettings, data: Path,
             val_pictures: int) -> tuple[Config, str, TimeBox | None]:
    """Trains on the world, from the newest checkpoint where there is one.

    Args:
        settings: Settings of the demo.
        data: Folder of the world.
        val_pictures: Validation pictures in it.

    Returns:
        The config, the path of the last checkpoint, and the length of the training where it had
        to fit into a time.
    """
    folder = settings.out / 'training'
    cfg = load_config(CONFIGS[settings.world], work_dir=str(folder))
    move_data(cfg, cfg.data_root, f'{data}/')
    length = None
    if settings.iters is None:
        # Hundreds of names make the evaluation of a picture as long as training on it.
        bounded = val_pictures if settings.world == 'stamps' else None
        length = fit_into(cfg, settings.minutes or MINUTES[settings.world],
                          settings.out / 'length.json', bounded)
        # So that a kill costs a part of a short training, too.
        checkpoint = cfg.default_hooks.checkpoint
        checkpoint.interval = max(1, min(checkpoint.interval, length.iterations // SAVED))
    set_max_iters(cfg, settings.iters or length.iterations)
    if length is not None and length.pictures is not None:
        bound_evaluations(cfg, length.pictures, val_pictures)
    cfg.custom_hooks.append(dict(type='ProgressBarHook'))
    cfg.log_level = 'WARNING'
    train(cfg, resume=True)
    last = newest_checkpoint(folder)
    if last is None:
        raise UserError(f'the last checkpoint of the training in {folder}', 'none',
                        'run the command again')
    return cfg, str(last), length


def draw(model: Any, data: Path, pictures: int, path: Path,
         scored: int | None = None) -> list[str]:
    """Draws ground truth above predictions, all names asked at once, one label per object.

    Half of the pictures are the first that show a thing never shown nor named in training, the
    others the first of the rest: chosen by what is in them, not by what was found.

    Args:
        model: The detector.
        data: Folder of the world.
        pictures: Number of pictures.
        path: PNG to write.
        scored: The first so many validation pictures are those that were evaluated; None for all.

    Returns:
        Names of the things in them that are new to the model.
    """
    truth = read_coco_json(data / 'annotations/val.json')
    splits = json.loads((data / 'annotations/splits.json').read_text(encoding='utf-8'))
    new = {truth.id_of_name[name] for name in splits['unseen']}
    order = {category: label for label, category in enumerate(truth.classes)}
    classes = tuple(truth.classes.values())
    rows: dict[int, list[dict]] = {image_id: [] for image_id in list(truth.images)[:scored]}
    for row in truth.annotations:
        if row['image_id'] in rows:
            rows[row['image_id']].append(row)
    # A model of a few minutes is less sure than the weights for which a config's own is.
    predict = Predictor(model, score_threshold=SHOWN_ABOVE)
    pairs, shown = [], set()
    for image_id in choose(rows, new, pictures):
        image, mine = truth.images[image_id], rows[image_id]
        file = data / 'images/val' / image['file_name']
        boxes = to_xyxy(np.array([row['bbox'] for row in mine], np.float32).reshape(-1, 4))
        labels = np.array([order[row['category_id']] for row in mine], np.int64)
        given = Detections(boxes, np.ones(len(mine), np.float32), labels, classes,
                           (image['height'], image['width']), file, file)
        pairs.append((given, predict(file, classes=list(classes))[0]))
        shown.update(row['category_id'] for row in mine)
    plot_grid(pairs, path)
    return [truth.classes[category] for category in truth.classes if category in shown & new]


def choose(rows: Mapping[int, Sequence[Mapping]], new: Collection[int],
           pictures: int) -> list[int]:
    """Ids of the pictures of a report, half of them with something new, in the given order.

    Args:
        rows: Image id -> its annotations.
        new: Ids of categories that are new to the model.
        pictures: How many, where there are so many.
    """
    with_new = [image_id for image_id, mine in rows.items()
                if any(row['category_id'] in new for row in mine)][:-(-pictures // 2)]
    others = [image_id for image_id in rows if image_id not in with_new]
    return sorted([*with_new, *others[:pictures - len(with_new)]], key=list(rows).index)


def write_report(settings: DemoSettings, metrics: dict[str, float], manifest: dict[str, Any],
                 seconds: float, cfg: Config, length: TimeBox | None, new: Sequence[str]) -> Path:
    """Writes the curves, the metrics and the markdown; returns the path of the latter.

    Args:
        settings: Settings of the demo.
        metrics: Metrics of the evaluation.
        manifest: Manifest of the world.
        seconds: Time of the training in this call.
        cfg: Config of the training.
        length: How far it went in the time that it had; None where there was no such bound.
        new: Names in the pictures that are new to the model.
    """
    out, groups = settings.out, GROUPS[settings.world]
    scalars = read_scalars(out / 'training')
    scalars.evaluations.append({'step': cfg.train_cfg.max_iters, **metrics})
    plot_curves(scalars, out / 'curves.png', [f'coco/{group}_AP50' for group in groups])
    environment = collect()
    counts = {name: part['pictures'] for name, part in manifest['counts'].items()}
    scored = counts['val'] if length is None or length.pictures is None else length.pictures
    setup = {
        'world': f'{settings.world}, {out / "data"}',
        'training images': ', '.join(f'{count} {name}' for name, count in counts.items()
                                     if name != 'val'),
        'evaluated on': f'{scored} of {counts["val"]} validation pictures, all names asked at once',
        'iterations': f'{cfg.train_cfg.max_iters} of {cfg.train_dataloader.batch_size} images',
        **({} if length is None else {'time box': str(length)}),
        'training time': f'{seconds / 60:.1f} min in this run',
        'torch': environment['foundations']['torch'],
        'machine': environment['system']['cpu'],
    }
    scores = {f'{title}, {meaning}': metrics[f'coco/{group}_{score}']
              for score, title in (('AP50', 'AP50'), ('best_label', 'best label right'))
              for group, meaning in groups.items()}
    path = out / 'report.md'
    caption = 'Ground truth (upper) and predictions (lower)'
    if new:
        caption += f'; never in training: {", ".join(new)}'
    write_markdown(
        path, f'glipkit demo: {settings.world}', setup,
        {**scores, 'AP50, all': metrics['coco/AP50'], 'AP, all': metrics['coco/AP'],
         'best label right, all': metrics['coco/best_label'],
         'labels per object': metrics['coco/labels_per_object']},
        {caption: 'predictions.png', 'Curves': 'curves.png'})
    write_text(out / 'metrics.json', json.dumps(metrics, indent=2) + '\n')
    return path
