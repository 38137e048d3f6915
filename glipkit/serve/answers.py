"""Answers of the HTTP interface: a COCO data set of one image, or an error in one line."""
from __future__ import annotations

from typing import Any

from glipkit.apis.detections import Detections
from glipkit.errors import UserError


def as_coco(found: Detections, file_name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Detections as the JSON that COCO's programs read, with the names beside the ids.

    Args:
        found: Of one image.
        file_name: Name of the image.
        facts: What else the answer says: model, task, threshold.

    Returns:
        ``info``, ``images``, ``categories`` (all that were asked for) and ``annotations`` with
        ``bbox`` as x, y, width, height in pixels of the upright image, best first.
    """
    height, width = found.size
    ids = found.category_ids or tuple(range(len(found.classes)))
    rows = [{'id': number, **row, 'area': row['bbox'][2] * row['bbox'][3], 'iscrowd': 0,
             'category_name': name}
            for number, (row, name) in enumerate(zip(found.to_coco(), found.names), start=1)]
    return {'info': facts,
            'images': [{'id': found.image_id, 'width': width, 'height': height,
                        'file_name': sendable(file_name)}],
            'categories': [{'id': category, 'name': name}
                           for category, name in zip(ids, found.classes)],
            'annotations': rows}


def error_body(error: Exception) -> dict[str, str]:
    """The JSON of an error: one line, and its parts where it has some."""
    body = {'error': ' '.join(str(error).split())}
    if isinstance(error, UserError):
        body |= {'expected': error.expected, 'got': error.got, 'fix': error.fix}
    return {key: sendable(text) for key, text in body.items()}


def sendable(text: str) -> str:
    """A text without the halves of characters that JSON can hold and UTF-8 cannot."""
    return text.encode('utf-8', 'backslashreplace').decode()
