"""What a notebook shows of detections."""
from __future__ import annotations

import base64
import html
import io
from dataclasses import replace

from PIL import Image

from glipkit.apis.detections import Detections, open_picture
from glipkit.apis.drawing import draw
from glipkit.errors import UserError

#: Longest side in pixels of an embedded picture: notebooks keep every output in their file.
LONGEST = 800
#: Rows of the table.
ROWS = 20
_CELL = 'text-align:left;padding:2px 10px'


def as_html(found: Detections) -> str:
    """The picture with its boxes, and a table of the best; both without a link to any file.

    A picture that is not there any more is left out.
    """
    height, width = found.size
    title = f'{len(found)} found in {width} x {height} pixels'
    if found.path is not None:
        title += f', {found.path.name}'
    return f'<div><p>{html.escape(title)}</p>{_picture(found)}{_table(found)}</div>'


def _picture(found: Detections) -> str:
    try:
        scene = open_picture(found.image)
    except UserError:
        return ''
    # Small first and drawn on then: lines and letters keep their size.
    small = _shrunk(scene)
    scale = small.width / scene.width
    if len(found):
        small = draw(small, replace(found, boxes=found.boxes * scale).to_supervision())
    file = io.BytesIO()
    small.save(file, 'JPEG', quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="detections" src="data:image/jpeg;base64,{data}">'


def _shrunk(scene: Image.Image) -> Image.Image:
    factor = LONGEST / max(scene.size)
    if factor >= 1:
        return scene
    return scene.resize([max(round(side * factor), 1) for side in scene.size])


def _table(found: Detections) -> str:
    if not len(found):
        return ''
    heads = ['name', 'score', 'x1', 'y1', 'x2', 'y2']
    rows = [[name, f'{score:.2f}', *(f'{value:.0f}' for value in box)]
            for box, score, _, name in found[:ROWS]]
    if found.tracks is not None:
        heads.insert(0, 'track')
        rows = [[str(track) if track >= 0 else '', *row] for track, row in zip(found.tracks, rows)]
    more = f'<p>and {len(found) - ROWS} more</p>' if len(found) > ROWS else ''
    body = ''.join(_row('td', row) for row in rows)
    return f'<table>{_row("th", heads)}{body}</table>{more}'


def _row(kind: str, cells: list[str]) -> str:
    inside = ''.join(f'<{kind} style="{_CELL}">{html.escape(cell)}</{kind}>' for cell in cells)
    return f'<tr>{inside}</tr>'
