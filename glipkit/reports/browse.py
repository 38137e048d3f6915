"""Captions with their phrases and boxes in matching colours, as a page to look at."""
from __future__ import annotations

import base64
import html
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from glipkit.apis.images import to_rgb, unreadable
from glipkit.common.reporter import note
from glipkit.common.visible import visible
from glipkit.data.formats.caption_shards import CaptionShards
from glipkit.data.formats.tar_shards import FileSlice
from glipkit.errors import UserError
from glipkit.files import write_text

# Twelve hues that differ on light and dark pictures.
COLOURS = ('#e6194b', '#3cb44b', '#4363d8', '#f58231', '#911eb4', '#008080', '#9a6324', '#800000',
           '#808000', '#000075', '#f032e6', '#469990')
_STYLE = '''body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1200px;color:#222}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1.5em}
figure{margin:0}img{width:100%;border-radius:4px}figcaption{margin-top:.4em}
b{font-weight:600}small{color:#777}'''


def browse(shard: str | Path, out: str | Path, images: str | Path | None = None, start: int = 0,
           count: int = 48, side: int = 480) -> int:
    """Writes an HTML page, pictures included, of some samples of a caption shard.

    Args:
        shard: Shard, or a folder of shards with its manifest.
        out: HTML file to write.
        images: Folder of the images that jsonl shards name; default: the shard's.
        start: First sample.
        count: Largest number of samples.
        side: Longer side of the pictures on the page, in pixels.

    Returns:
        Number of samples on the page; those whose image cannot be read are noted and left out.

    Raises:
        UserError: No shard there, nothing in the range, or not one image can be read.
    """
    shard = Path(shard)
    folder = Path(images) if images else shard if shard.is_dir() else shard.parent
    dataset = CaptionShards(str(shard), score_thr=None, min_boxes=0, test_mode=True,
                            data_prefix=dict(img=str(folder)), pipeline=[])
    rows = range(start, min(start + count, len(dataset)))
    if start < 0 or not rows:
        raise UserError(f'a first sample from 0 to {len(dataset) - 1}', str(start),
                        'pass another --start')
    figures, unread = [], []
    for row in rows:
        try:
            figures.append(_figure(dataset.get_data_info(row), side))
        except UserError as error:
            note(f'left out sample {row}: {error.got}')
            unread.append(error)
    if not figures:
        raise unread[0]
    title = f'{_shown(shard.name)}, {rows.start} to {rows.stop - 1} of {len(dataset)}'
    page = ('<!doctype html>\n<html lang="en"><meta charset="utf-8">'
            f'<title>{title}</title><style>{_STYLE}</style>\n<h1>{title}</h1>\n'
            f'<div class="grid">\n{"".join(figures)}</div></html>\n')
    write_text(out, page)
    return len(figures)


def mark_phrases(caption: str, phrases: Sequence[Sequence[tuple[int, int]]]) -> str:
    """The caption as HTML, each phrase in its colour.

    >>> mark_phrases('a <dog>', [[(3, 6)]])
    'a &lt;<b style="color:#e6194b">dog</b>&gt;'
    """
    marks = sorted((tuple(span), index) for index, spans in enumerate(phrases) for span in spans)
    pieces, last = [], 0
    for (begin, end), index in marks:
        if begin < last:
            continue  # inside another phrase
        pieces.append(_shown(caption[last:begin]))
        text = _shown(caption[begin:end])
        pieces.append(f'<b style="color:{_colour(index)}">{text}</b>')
        last = end
    return ''.join([*pieces, _shown(caption[last:])])


def _shown(text: str, quote: bool = False) -> str:
    """Text as HTML, with escapes for what a browser would obey; blanks of any kind stay blanks."""
    return html.escape(visible(re.sub(r'[\t\n\r\f]', ' ', text)), quote)


def _figure(sample: dict[str, Any], side: int) -> str:
    image = _picture(sample)
    scale = min(1., side / max(image.size))
    image = image.resize([max(1, round(s * scale)) for s in image.size])
    draw = ImageDraw.Draw(image)
    for instance in sample['instances']:
        x1, y1, x2, y2 = (value * scale for value in instance['bbox'])
        draw.rectangle([x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)],
                       outline=_colour(instance['bbox_label']), width=2)
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=85)
    boxes = Counter(instance['bbox_label'] for instance in sample['instances'])
    data = base64.b64encode(buffer.getvalue()).decode()
    name = _shown(Path(str(sample['img_path'])).name, quote=True)
    return (f'<figure><img alt="{name}" src="data:image/jpeg;base64,{data}"><figcaption>'
            f'{mark_phrases(sample["text"], sample["phrases"])}<br><small>{name}: '
            f'{sum(boxes.values())} boxes, {len(boxes)} phrases</small></figcaption></figure>\n')


def _picture(sample: dict[str, Any]) -> Image.Image:
    place = next((v for v in sample.values() if isinstance(v, FileSlice)), None)
    path = sample['img_path']
    try:
        source = io.BytesIO(place.read()) if place is not None else path
        with Image.open(source) as image:
            return to_rgb(image, str(path))
    except OSError as error:
        raise unreadable(str(path), error) from error


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
