"""GQA's questions as sentences with boxes."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from glipkit.data.preparation.boxes import Box
from glipkit.data.preparation.captions import Sentence
from glipkit.data.preparation.grounding_sources import Key, PictureIndex, read_box
from glipkit.data.preparation.steps import Step
from glipkit.errors import UserError
from glipkit.text.structures import Span

_ASKING = re.compile(r'\b(what|who|whose|which|where)\b', re.IGNORECASE)


def read_gqa(questions: str | Path, scenes: str | Path, index: PictureIndex,
             step: Step) -> Iterator[tuple[Key, Sentence]]:
    """GQA's questions, with the boxes of what they mention from its scene graphs.

    The objects of the answer belong to the word that asks ("What is on the table?"), as in MDETR.

    Raises:
        UserError: Another structure.
    """
    boxes = {image: _scene_boxes(scene, f'{scenes}: {image}')
             for image, scene in step.read_json(scenes, "GQA's scene graphs")}
    for number, record in step.read_json(questions, "GQA's questions"):
        if not isinstance(record, dict) or not isinstance(record.get('question'), str):
            raise UserError("GQA's questions", f'{questions}: {number}: {record!r:.80}',
                            'check that this is the right file')
        image = str(record.get('imageId'))
        place = index.place(int(image)) if image.isdecimal() else None
        if place is None or image not in boxes:
            step.drop('questions on unknown pictures', f'question {number}')
            continue
        key, *scale = place
        sentence = _question(record, boxes[image], scale, step, number)
        if sentence is None:
            step.drop('questions without boxes', f'question {number}')
        else:
            yield key, sentence


def _scene_boxes(scene: Any, where: str) -> dict[str, list[Any]]:
    objects = scene.get('objects') if isinstance(scene, dict) else None
    if not isinstance(objects, dict):
        raise UserError("GQA's scene graphs: objects per picture", where,
                        'check that this is the right file')
    return {name: [thing.get(side) for side in 'xywh'] for name, thing in objects.items()}


def _question(record: Mapping[str, Any], boxes: Mapping[str, list[Any]], scale: Sequence[float],
              step: Step, number: str) -> Sentence | None:
    text = record['question']
    word_spans = [match.span() for match in re.finditer(r"[\w'-]+", text)]
    mentions = record.get('annotations') or {}
    found: dict[Box, list[Span]] = {}

    def add(thing: Any, span: Span | None) -> None:
        box = read_box(boxes.get(str(thing)), scale)
        if box is None or span is None:
            step.drop('mentions without words or box', f'question {number}')
        else:
            found.setdefault(box, []).append(span)

    for place, thing in (mentions.get('question') or {}).items():
        add(thing, _word_span(word_spans, place))
    asking = _ASKING.search(text)
    for thing in (mentions.get('answer') or {}).values() if asking else ():
        add(thing, asking.span())
    regions = tuple((tuple(sorted(set(spans))), box) for box, spans in found.items())
    return Sentence(text, regions) if regions else None


def _word_span(word_spans: Sequence[Span], place: str) -> Span | None:
    """GQA counts words: '4' is the fifth one, '4:6' are the fifth and the sixth."""
    numbers = place.split(':')
    if not all(map(str.isdecimal, numbers)) or len(numbers) > 2:
        return None
    first = int(numbers[0])
    last = int(numbers[-1]) - (len(numbers) - 1)
    if not first <= last < len(word_spans):
        return None
    return word_spans[first][0], word_spans[last][1]
