"""Image-caption pairs of a world, whose boxes are kept aside."""
from __future__ import annotations

import json
from pathlib import Path

from glipkit.files import write_text


def hide_boxes(folder: Path) -> dict[str, dict]:
    """Writes a world's image-caption pairs to its ``pairs.jsonl``.

    Args:
        folder: Folder of the world.

    Returns:
        File name -> object 'grounding' of its ODVG line, with the true regions.
    """
    lines = (folder / 'annotations/grd_train.jsonl').read_text(encoding='utf-8').splitlines()
    truth = {record['filename']: record['grounding'] for record in map(json.loads, lines)}
    pairs = [json.dumps({'filename': name, 'caption': grounding['caption']}) + '\n'
             for name, grounding in truth.items()]
    write_text(folder / 'pairs.jsonl', ''.join(pairs))
    return truth
