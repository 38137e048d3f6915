"""Words on boxes: what the regions of a picture are called before and after pre-training."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glipkit.claims.region_clip_scores import Things, Towers, resized
from glipkit.files import write_encoded

RIGHT, WRONG = 'tab:green', 'tab:red'


def plot_words(things: Things, number: int, models: Mapping[str, Towers], side: int,
               path: Path) -> None:
    """Draws a picture once per model, with the best name on each true box.

    Args:
        things: Pictures and boxes.
        number: Which of the pictures.
        models: Title -> towers.
        side: Side of the picture that the towers see.
        path: PNG to write.
    """
    axes = (figure := Figure(figsize=(4 * len(models), 4.2), layout='constrained')).subplots(
        1, len(models), squeeze=False)
    for axis, (title, towers) in zip(axes[0], models.items()):
        axis.imshow(things.pictures[number])
        axis.set_title(title, fontsize=11)
        axis.set_axis_off()
        for box, label, best in zip(things.boxes[number], things.labels[number],
                                    best_names(towers, things, number, side)):
            colour = RIGHT if best == label else WRONG
            x1, y1, x2, y2 = box
            axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=2, ec=colour))
            inside = y1 < 12  # no room above the box
            axis.text(x1, y1 + 2 if inside else y1 - 2, things.names[best], color='white',
                      fontsize=8, va='top' if inside else 'bottom',
                      bbox=dict(facecolor=colour, edgecolor='none', pad=1))
    write_encoded(path, lambda file: figure.savefig(file, dpi=100, format='png'))


@torch.no_grad()
def best_names(towers: Towers, things: Things, number: int, side: int) -> np.ndarray:
    """(N,) the best name of each true box of a picture."""
    picture = things.pictures[number]
    images = towers.normalised([resized(picture, side)])
    boxes = torch.from_numpy(things.boxes[number] * side / picture.shape[1]).float()
    features = towers.backbone.region_features(towers.backbone(images)[0], [boxes])[1]
    words = F.normalize(towers.words(things.names), dim=1)
    return (F.normalize(features, dim=1) @ words.T).argmax(1).numpy()


def telling_picture(things: Things, before: Towers, after: Towers, side: int,
                    among: int = 60) -> int:
    """The first picture with the most things that are called wrongly before and rightly after."""
    gains = []
    for number in range(min(among, len(things.pictures))):
        labels = things.labels[number]
        gains.append(sum(int((best_names(towers, things, number, side) == labels).sum()) * sign
                         for towers, sign in ((after, 1), (before, -1))))
    return int(np.argmax(gains))
