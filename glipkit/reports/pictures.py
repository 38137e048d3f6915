"""A training run as a report: markdown, a grid of pictures, curves."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from glipkit.apis.detections import Detections
from glipkit.apis.images import to_rgb
from glipkit.common.markdown import markdown_table
from glipkit.files import write_encoded, write_text

GRID_COLUMNS = 4
LOSSES = ('loss', 'loss_cls', 'loss_bbox', 'loss_centerness')


@dataclass(frozen=True)
class Scalars:
    """What a run logged: training entries and evaluations, each with its ``step``."""
    training: list[dict]
    evaluations: list[dict]


def read_scalars(work_dir: str | Path) -> Scalars:
    """Collect the entries of every start and resume of a run, the later one where steps repeat.

    Lines that a kill has cut off are passed over.

    Args:
        work_dir: The run's folder; mmengine writes ``<time>/vis_data/scalars.json`` below it.
    """
    training: dict[int, dict] = {}
    evaluations: dict[int, dict] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # cut off by a kill, or lost with the power
                continue
            if not isinstance(entry, dict) or 'step' not in entry:
                continue
            (training if 'loss' in entry else evaluations)[entry['step']] = entry
    return Scalars([training[k] for k in sorted(training)],
                   [evaluations[k] for k in sorted(evaluations)])


def plot_curves(scalars: Scalars, path: str | Path, metrics: Sequence[str]) -> None:
    """Draw losses and metrics over iterations.

    Args:
        scalars: Result of :func:`read_scalars`.
        path: PNG to write.
        metrics: Names of the evaluated metrics, e.g. ``coco/unseen_AP50``.
    """
    figure = Figure(figsize=(9, 3.4), dpi=110)
    left, right = figure.subplots(1, 2)
    for name in LOSSES:
        points = [(e['step'], e[name]) for e in scalars.training if name in e]
        if points:
            left.plot(*zip(*points), label=name)
    for name in metrics:
        points = [(e['step'], e[name]) for e in scalars.evaluations if name in e]
        if points:
            right.plot(*zip(*points), marker='o', label=name)
    for axes, title in ((left, 'training loss'), (right, 'validation')):
        axes.set(title=title, xlabel='iteration')
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize='small')
    figure.tight_layout()
    write_encoded(path, lambda file: figure.savefig(file, format='png'))


def plot_grid(pairs: Sequence[tuple[Detections, Detections]], path: str | Path,
              cell: int = 320) -> None:
    """Draw ground truth (upper rows) above predictions (lower rows), image by image.

    Args:
        pairs: Ground truth and predictions of each image, with the path of the image file.
        path: PNG to write.
        cell: Width and height of a picture in pixels.
    """
    columns = min(GRID_COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    sheet = Image.new('RGB', (columns * cell, 2 * rows * cell), 'white')
    for i, pair in enumerate(pairs):
        for j, detections in enumerate(pair):
            picture = _fitted(detections, cell).plot()
            sheet.paste(picture, ((i % columns) * cell, (2 * (i // columns) + j) * cell))
    write_encoded(path, lambda file: sheet.save(file, 'PNG'))


def _fitted(detections: Detections, cell: int) -> Detections:
    """Image and boxes scaled to a cell, so that writing keeps its size."""
    height, width = detections.size
    scale = cell / max(height, width)
    size = round(height * scale), round(width * scale)
    with Image.open(detections.path) as image:
        image = to_rgb(image, str(detections.path)).resize(size[::-1])
    return replace(detections, boxes=detections.boxes * scale, size=size, image=image)


def write_markdown(path: str | Path, title: str, setup: Mapping[str, object],
                   metrics: Mapping[str, float], pictures: Mapping[str, str]) -> None:
    """Write the report itself.

    Args:
        path: Markdown file.
        title: Heading.
        setup: Description of the run: label -> value.
        metrics: Name -> value; AP from 0 to 1, -1 where there was no ground truth.
        pictures: Caption -> file name beside ``path``.
    """
    scores = [(name, f'{value:.3f}') for name, value in metrics.items()]
    lines = [f'# {title}', '', markdown_table(('', ''), list(setup.items())), '',
             markdown_table(('metric', 'value'), scores)]
    for caption, file in pictures.items():
        lines += ['', f'## {caption}', '', f'![{caption}]({file})']
    write_text(path, '\n'.join(lines) + '\n')
