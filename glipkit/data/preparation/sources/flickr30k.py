"""Flickr30k Entities to one json per split, in the layout of MDETR's "separateGT" files."""
from __future__ import annotations

import argparse
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.common.boxes import box_iou
from glipkit.data.formats.reading import clip_box
from glipkit.data.preparation import Preparation, Step
from glipkit.data.preparation.boxes import Box, area, xywh
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare flickr30k flickr30k_entities --out data/flickr30k \\
      --check-images flickr30k-images
  glipkit prepare flickr30k flickr30k_entities --out data/flickr30k --splits val test

The first argument is the unpacked release: Annotations/*.xml, Sentences/*.txt and the lists
train.txt, val.txt and test.txt. Where the two folders are still zipped, unzip them first."""

SPLITS = ('train', 'val', 'test')
#: In training, boxes of different entities that overlap this much are one object with the spans of
#: both, as in MDETR's files. Evaluation counts with every box as it was drawn.
MERGE_IOU = 0.95

_PHRASE = re.compile(r'\[/EN#(\d+)((?:/[^/\s\]]+)+) ([^\[\]]*)\]')

Span = tuple[int, int]


@dataclass(frozen=True)
class Phrase:
    """One bracket of a sentence: whom it names, of what types, and where it stands."""
    entity: str
    types: tuple[str, ...]
    span: Span


@dataclass(frozen=True)
class Picture:
    """One xml: size in pixels, entity -> its boxes (xyxy as drawn), entities that are the scene."""
    width: int
    height: int
    boxes: dict[str, list[Box]]
    scenes: frozenset[str]


def parse_sentence(line: str, where: str) -> tuple[str, list[Phrase]]:
    """A line of Sentences/*.txt to its plain text and the phrases in it.

    >>> parse_sentence('[/EN#1/people A man] sits .', 'x')
    ('A man sits .', [Phrase(entity='1', types=('people',), span=(0, 5))])

    Raises:
        UserError: Brackets that are not closed or hold something else.
    """
    text, phrases, last = '', [], 0
    for match in _PHRASE.finditer(line):
        text += line[last:match.start()]
        phrase = match[3].strip()
        if phrase:
            types = tuple(match[2].strip('/').split('/'))
            phrases.append(Phrase(match[1], types, (len(text), len(text) + len(phrase))))
        text, last = text + phrase, match.end()
    text += line[last:]
    if '[/EN' in text:
        raise UserError('sentences as "[/EN#1/people A man] sits ."', f'{where}: {line!r}',
                        'copy the file again')
    return text.rstrip(), phrases


def read_sentences(path: Path) -> list[tuple[str, list[Phrase]]]:
    """The captions of one picture, in the order of the file."""
    lines = _read(path).splitlines()
    return [parse_sentence(line, f'{path}:{i}') for i, line in enumerate(lines, start=1)
            if line.strip()]


def read_picture(path: Path) -> Picture:
    """An xml of Annotations/.

    Raises:
        UserError: It is missing, no xml, or without a number where one belongs.
    """
    try:
        root = ElementTree.fromstring(_read(path))
        size = {side: int(root.findtext(f'size/{side}', '')) for side in ('width', 'height')}
        boxes: dict[str, list[Box]] = {}
        scenes: set[str] = set()
        for item in root.iter('object'):
            names = [name.text or '' for name in item.findall('name')]
            if item.find('bndbox') is not None:
                corners = [float(item.findtext(f'bndbox/{side}', ''))
                           for side in ('xmin', 'ymin', 'xmax', 'ymax')]
                for name in names:
                    boxes.setdefault(name, []).append(tuple(corners))
            elif item.findtext('scene') == '1':
                scenes.update(names)
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError('an annotation xml of Flickr30k Entities', f'{path}: {error}',
                        'copy the file again') from error
    return Picture(size['width'], size['height'], boxes, frozenset(scenes))


def merge_boxes(boxes: Sequence[tuple[Box, int]], iou: float) -> list[tuple[Box, list[int]]]:
    """Joins boxes that are the same object under different phrases.

    Args:
        boxes: (box, index of its phrase) pairs; the same entity may be named twice.
        iou: Boxes that overlap at least so much are joined, also through a third one; 1 joins
            equal boxes only.

    Returns:
        Per group its first box and the phrases of all, in the order of the first boxes.
    """
    groups: list[list[int]] = []
    for i, (box, _) in enumerate(boxes):
        near, far = [], []
        for group in groups:
            touches = any(box_iou(box, boxes[j][0])[0, 0] >= iou for j in group)
            (near if touches else far).append(group)
        groups = [*far, [*(j for group in near for j in group), i]]
    groups = sorted(map(sorted, groups))
    return [(boxes[group[0]][0], sorted({boxes[i][1] for i in group})) for group in groups]


class Converter:
    """Turns pictures and sentences into records, and counts what it leaves out.

    Args:
        step: Takes the counts.
        iou: See `merge_boxes`.
    """

    def __init__(self, step: Step, iou: float) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self._step, self._iou = step, iou

    def add(self, name: str, picture: Picture, sentences: list[tuple[str, list[Phrase]]]) -> None:
        """All captions of one picture."""
        self._step.count('pictures')
        for number, (caption, phrases) in enumerate(sentences):
            self._add_caption(name, picture, number, caption, phrases)

    def _add_caption(self, name: str, picture: Picture, number: int, caption: str,
                     phrases: list[Phrase]) -> None:
        step, image_id = self._step, len(self.images)
        kept: list[tuple[Phrase, list[Box]]] = []
        for phrase in phrases:
            where = f'{name} #{number} {caption[slice(*phrase.span)]!r}'
            boxes = list(self._usable(picture, phrase, where))
            if boxes:
                kept.append((phrase, boxes))
                step.count('phrases')
            else:
                step.drop(f'phrases {_why(picture, phrase)}', where)
        pairs = [(box, i) for i, (_, boxes) in enumerate(kept) for box in boxes]
        for box, named in merge_boxes(pairs, self._iou):
            self._annotate(image_id, box, named, [phrase.span for phrase, _ in kept])
        step.count('captions')
        step.count('phrases with several boxes', sum(len(boxes) > 1 for _, boxes in kept))
        step.count('captions without any box', int(not kept))
        self.images.append(dict(
            id=image_id, file_name=f'{name}.jpg', height=picture.height, width=picture.width,
            caption=caption, dataset_name='flickr', tokens_negative=[[0, len(caption)]],
            sentence_id=number, original_img_id=int(name) if name.isdecimal() else name,
            tokens_positive_eval=[[list(phrase.span)] for phrase, _ in kept],
            phrase_types=[list(phrase.types) for phrase, _ in kept],
            phrase_entities=[phrase.entity for phrase, _ in kept]))

    def _usable(self, picture: Picture, phrase: Phrase, where: str) -> Iterator[Box]:
        for box in picture.boxes.get(phrase.entity, ()):
            clipped = clip_box(list(box), picture.width, picture.height)
            if clipped is None:
                self._step.drop('degenerate boxes', where)
            else:
                yield tuple(clipped)

    def _annotate(self, image_id: int, box: Box, named: list[int], spans: list[Span]) -> None:
        self._step.count('boxes')
        self.annotations.append(dict(
            id=len(self.annotations), image_id=image_id, category_id=1, iscrowd=0,
            bbox=xywh(box), area=area(box),
            tokens_positive=[list(spans[i]) for i in named], phrase_ids=named))


def prepare(options: argparse.Namespace) -> Preparation:
    """One json for each split asked for."""
    root = Path(options.root)
    prep = Preparation(options.out, 'flickr30k', options.redo)
    folders = [root / 'Annotations', root / 'Sentences']
    for split in options.splits:
        listing = root / f'{split}.txt'
        iou = MERGE_IOU if split == 'train' else 1.
        with prep.step(f'final_flickr_separateGT_{split}.json', inputs=[listing, *folders],
                       settings={'merge_iou': iou}) as step:
            if step.done:
                continue
            converter = Converter(step, iou)
            names = _read(listing).split()
            if not names:
                raise UserError('a list of pictures', f'nothing in {listing}', 'copy it again')
            for name in step.track(names, 'picture'):
                converter.add(name, read_picture(folders[0] / f'{name}.xml'),
                              read_sentences(folders[1] / f'{name}.txt'))
            step.write_json(dict(
                info=[], licenses=[], images=converter.images, annotations=converter.annotations,
                categories=[dict(id=1, name='object', supercategory='object')]))
    return prep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    parser.add_argument('root', metavar='ENTITIES', help='folder of Flickr30k Entities')
    parser.add_argument('--splits', nargs='+', choices=SPLITS, default=list(SPLITS),
                        help='which to make (default: all)')


def _why(picture: Picture, phrase: Phrase) -> str:
    if 'notvisual' in phrase.types or phrase.entity == '0':
        return 'of nothing visible'
    if phrase.entity in picture.boxes:
        return 'whose boxes are degenerate'
    if phrase.entity in picture.scenes:
        return 'of the whole scene'
    return 'without a box'


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8-sig')
    except OSError as error:
        raise UserError('the files of Flickr30k Entities', f'{path} ({error.strerror})',
                        'pass the folder with Annotations, Sentences and train.txt') from error
    except UnicodeDecodeError as error:
        raise UserError('a text file in UTF-8', f'{path}: {error.reason}',
                        'copy it again') from error
