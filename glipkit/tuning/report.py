"""A tuning run as a report: numbers with their spread, curves, hits and misses."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from glipkit.apis.arguments import default_threshold
from glipkit.apis.build import find_config, read_config
from glipkit.apis.detections import Detections
from glipkit.common.boxes import box_iou, to_xyxy
from glipkit.common.markdown import markdown_table
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.data.formats.reading import read_json
from glipkit.evaluation.functional.coco_ap import coco_ap
from glipkit.files import write_encoded, write_text
from glipkit.reports.pictures import plot_grid, read_scalars
from glipkit.tuning.result import TuneResult
from glipkit.tuning.settings import AnnotatedImages

#: Pictures in a grid, and what counts as found in them.
PICTURES, OVERLAP = 4, 0.5
#: Metric -> its name in the table of scores.
SHOWN = {'AP': 'AP', 'AP50': 'AP50', 'best_label': 'best label right',
         'labels_per_object': 'labels per object'}
NO_HELP = 'tuning did not help on the validation images: use the base model'


def write_report(result: TuneResult) -> Path:
    """Writes ``report.md``, ``report.json`` and pictures to the run's folder.

    Returns:
        The markdown file.
    """
    out = result.settings.out
    scored, best = result.data.test or result.data.val, result.best
    coco = read_coco_json(scored.ann_file)
    name = f'{result.scored_on}.bbox.json'
    before = read_json(out / 'zero_shot' / name, 'COCO results')
    after = read_json(out / f'seed_{best["seed"]}' / name, 'COCO results')
    shown = default_threshold(read_config(find_config(result.settings.model)))
    pictures = _draw_pictures(coco, scored, after, shown, out)
    if any(seed['history'] for seed in result.seeds):
        _plot_curves(result, out / 'curves.png')
        pictures['Validation AP and training loss'] = 'curves.png'
    sections = [
        '# Tuning report', _overview(result, best), '## Scores', _scores(result),
        '## Per class', _classes(coco, before, after, best['seed'])]
    if result.tried:
        sections += ['## Prompts that were tried', _tried(result)]
    for title, file in pictures.items():
        sections += [f'## {title}', f'![{title}]({file})']
    write_text(out / 'report.json', json.dumps(summary(result), indent=1) + '\n')
    write_text(out / 'report.md', '\n\n'.join(sections) + '\n')
    return out / 'report.md'


def summary(result: TuneResult) -> dict[str, Any]:
    """All numbers of a run, for programs."""
    return dict(
        strategy=result.settings.recipe.strategy, shots=result.settings.shots,
        seeds=list(result.settings.seeds), scored_on=result.scored_on,
        zero_shot=result.zero_shot,
        tuned={name: {metric: dict(zip(('mean', 'std'), result.mean(name, metric)))
                      for metric in scores} for name, scores in result.zero_shot.items()},
        runs=result.seeds, notes=list(result.data.notes), task=str(result.task))


def score_lines(result: TuneResult) -> list[str]:
    """The result in a few lines, for the terminal."""
    lines = []
    for name, before in result.zero_shot.items():
        mean, std = result.mean(name)
        spread = f' +- {std:.3f} over {len(result.seeds)} seeds' if len(result.seeds) > 1 else ''
        meaning = ' (what is forgotten)' if name == 'held_out' else ''
        lines.append(f'{name:9} AP {before["AP"]:.3f} zero-shot -> {mean:.3f}'
                     f'{spread}, {change(before["AP"], mean)}{meaning}')
    if _is_no_help(result):
        lines.append(NO_HELP)
    return lines


def change(before: float, after: float) -> str:
    """The difference of two scores as they are shown, so that a line agrees with itself.

    >>> change(0.0046, 0.0044), change(0.1, 0.1001)
    ('-0.001', 'no change')
    """
    difference = round(round(after, 3) - round(before, 3), 3)
    return f'{difference:+.3f}' if difference else 'no change'


def _is_no_help(result: TuneResult) -> bool:
    return result.mean('val')[0] <= result.zero_shot['val']['AP']


def _overview(result: TuneResult, best: Mapping[str, Any]) -> str:
    settings = result.settings
    rows = {
        'model': f'{settings.model}, {settings.checkpoint or "the weights of its name"}',
        'strategy': ', '.join(f'{k} {v}' for k, v in settings.recipe.strategy.items()),
        'data': settings.data.ann_file,
        'shots': settings.shots or 'all images',
        'classes': f'{len(result.data.classes)}: ' + ', '.join(result.data.classes.values()),
        'seeds': ', '.join(map(str, settings.seeds)) if best['history'] else 'none, nothing trains',
        'minutes': ', '.join(f'{seed["minutes"]:.1f}' for seed in result.seeds),
        'task file': f'`{result.task.name}`, {result.task.stat().st_size / 1e6:.2f} MB, '
                     f'seed {best["seed"]}',
    }
    if settings.interpolate < 1:
        rows['weights'] = f'{settings.interpolate:g} of the way from the base model to the tuned'
    table = markdown_table(('', ''), list(rows.items()))
    notes = [f'* {note}' for note in result.data.notes]
    if _is_no_help(result):
        notes.append(f'* {NO_HELP[0].upper()}{NO_HELP[1:]}.')
    use = (f"```python\npredict = glipkit.Predictor('{settings.model}', "
           f"task='{result.task}')\n```")
    return '\n\n'.join(filter(None, [table, '\n'.join(notes), use]))


def _scores(result: TuneResult) -> str:
    rows = []
    for name, before in result.zero_shot.items():
        # A run that an older version began knows AP alone.
        every = [before, *(seed['scores'][name] for seed in result.seeds)]
        for metric in (one for one in SHOWN if all(one in scores for scores in every)):
            mean, std = result.mean(name, metric)
            rows.append((name.replace('_', '-'), SHOWN[metric], f'{before[metric]:.3f}',
                         f'{mean:.3f} ± {std:.3f}', change(before[metric], mean)))
    text = markdown_table(('set', 'metric', 'zero-shot', 'tuned', 'change'), rows)
    if 'held_out' in result.zero_shot:
        text += '\n\nThe change on the held-out set is what the model has forgotten.'
    seeds = [(s['seed'], s['train_images'], *(f'{s["scores"][name]["AP"]:.3f}'
                                              for name in result.zero_shot))
             for s in result.seeds]
    header = ('seed', 'training images',
              *(f'AP {name.replace("_", "-")}' for name in result.zero_shot))
    return text + '\n\n' + markdown_table(header, seeds)


def _classes(coco: CocoJson, before: list, after: list, seed: int) -> str:
    """AP of each class, of the base model and of the best seed."""
    scored = [coco_ap(list(coco.images), list(coco.classes), coco.annotations, found).per_class
              for found in (before, after)]
    rows = []
    for category, name in coco.classes.items():
        values = [one[category]['AP'] for one in scored]
        cells = ['no box to find' if v < 0 else f'{v:.3f}' for v in values]
        rows.append((name, category, *cells))
    return markdown_table(('class', 'category id', 'zero-shot AP', f'AP of seed {seed}'), rows)


def _tried(result: TuneResult) -> str:
    rows = [('; '.join(f'{name}: {_shown(written)}' for name, written in one.prompts.items())
             or 'the class names', f'{one.score:.3f}') for one in result.tried]
    return markdown_table(('prompts', 'AP on val'), rows)


def _shown(written: Mapping[str, str]) -> str:
    """The prompt of one class, as the report shows it."""
    name = written.get('name', 'its name')
    return f"'{written.get('prefix', '')}**{name}**{written.get('suffix', '')}'"


def _plot_curves(result: TuneResult, path: Path) -> None:
    figure = Figure(figsize=(9, 3.4), dpi=110)
    left, right = figure.subplots(1, 2)
    left.axhline(result.zero_shot['val']['AP'], color='grey', linestyle=':', label='zero-shot')
    for seed in result.seeds:
        steps, scores, _ = zip(*seed['history'])
        left.plot(steps, scores, marker='o', markersize=3, label=f'seed {seed["seed"]}')
        training = read_scalars(result.settings.out / f'seed_{seed["seed"]}').training
        right.plot([e['step'] for e in training], [e['loss'] for e in training], linewidth=1)
    for axes, title in ((left, 'AP on the validation images'), (right, 'training loss')):
        axes.set(title=title, xlabel='iteration')
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    left.legend(fontsize='small')
    figure.tight_layout()
    write_encoded(path, lambda file: figure.savefig(file, format='png'))


def _draw_pictures(coco: CocoJson, data: AnnotatedImages, found: list, shown: float,
                   out: Path) -> dict[str, str]:
    """Grids of the images where most and where least was right; caption -> file."""
    pairs = _pairs(coco, data, found, shown)
    ranked = sorted(pairs, key=lambda pair: (agreement(*pair), len(pair[0])), reverse=True)
    hits = [pair for pair in ranked if agreement(*pair) == 1 and len(pair[0])][:PICTURES]
    misses = [pair for pair in ranked[::-1] if agreement(*pair) < 1][:PICTURES]
    written = {}
    for title, file, chosen in (('Hits', 'hits.png', hits), ('Misses', 'misses.png', misses)):
        if chosen:
            plot_grid(chosen, out / file)
            written[f'{title}: ground truth above, predictions below'] = file
    return written


def _pairs(coco: CocoJson, data: AnnotatedImages, found: list,
           shown: float) -> list[tuple[Detections, Detections]]:
    """Ground truth and the predictions of at least a score, one per object, for each image."""
    label = {category: i for i, category in enumerate(coco.classes)}
    rows: dict[int, tuple[list, list]] = {image_id: ([], []) for image_id in coco.images}
    for record in coco.annotations:
        rows[record['image_id']][0].append({**record, 'score': 1.})
    for record in found:
        if record['score'] >= shown and record['image_id'] in rows:
            rows[record['image_id']][1].append(record)
    pairs = []
    for image_id, sides in rows.items():
        image = coco.images[image_id]
        path = data.images / image['file_name']
        size = (image['height'], image['width'])
        if None in size:
            with Image.open(path) as picture:
                size = ImageOps.exif_transpose(picture).size[::-1]
        truth, ours = (_detections(side, label, tuple(coco.classes.values()), size, path)
                       for side in sides)
        pairs.append((truth, ours.one_per_object()))
    return pairs


def _detections(rows: Sequence[Mapping[str, Any]], label: Mapping[int, int],
                classes: tuple[str, ...], size: tuple[int, int], path: Path) -> Detections:
    boxes = to_xyxy(np.array([row['bbox'] for row in rows], np.float32).reshape(-1, 4))
    return Detections(boxes, np.array([row['score'] for row in rows], np.float32),
                      np.array([label[row['category_id']] for row in rows], np.int64), classes,
                      size, path, path)


def agreement(truth: Detections, found: Detections) -> float:
    """F1 of the detections of one image: pairs of equal label that overlap by half or more.

    1 where there is no ground truth and nothing was found.
    """
    if not len(truth) + len(found):
        return 1.
    overlaps = box_iou(truth.boxes, found.boxes)
    overlaps[truth.labels[:, None] != found.labels[None]] = 0
    hits = 0
    for column in overlaps.T:  # best score first, each takes its best partner
        if column.size and column.max() >= OVERLAP:
            overlaps[column.argmax()] = 0
            hits += 1
    return 2 * hits / (len(truth) + len(found))
