"""ImageNet bounding boxes (VOC xml per image): line file with a label map, or COCO json."""
from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from glipkit.data.preparation import Preparation, Step, stream_lines
from glipkit.data.preparation.detection import BoxBuilder, Detections, image_record
from glipkit.data.preparation.detection_output import add_layout, write_set
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare imagenet-boxes --xml Annotation --words words.txt --out data/imagenet_boxes
  glipkit prepare imagenet-boxes --xml ILSVRC/Annotations/CLS-LOC/train \\
      --words LOC_synset_mapping.txt --out data/imagenet_boxes \\
      --check-images ILSVRC/Data/CLS-LOC/train"""

_WORDS = "a file of words with lines 'n02123045 tabby, tabby cat'"


def prepare(options: argparse.Namespace) -> Preparation:
    """Writes ``annotations/imagenet_boxes_train``.

    Images are named 'n02123045/n02123045_1.JPEG'.
    """
    prep = Preparation(options.out, 'imagenet_boxes', redo=options.redo)
    folder = Path(options.xml)
    # The time of the folder of folders does not tell of new files in these: list them.
    paths = sorted(folder.glob('n*/*.xml'))
    if not paths:
        raise UserError('a folder with n02123045/n02123045_1.xml and so on', f'none in {folder}',
                        'check --xml')
    settings = {'suffix': options.suffix, 'files': len(paths)}

    def read(step: Step) -> Detections:
        return read_xml_files(step, paths, read_synonyms(options.words), options.suffix)

    write_set(prep, 'annotations/imagenet_boxes_train', [folder, options.words], settings,
              read, options.layout)
    return prep


def read_synonyms(path: str) -> dict[str, list[str]]:
    """WordNet id -> its synonyms, from words.txt (tab) or LOC_synset_mapping.txt (blank).

    Raises:
        UserError: The file is damaged or has no such line.
    """
    synonyms = {}
    for _, line in stream_lines(path, _WORDS):
        wnid, _, rest = line.replace('\t', ' ', 1).partition(' ')
        names = [' '.join(name.split()) for name in rest.split(',')]
        if wnid[:1] == 'n' and wnid[1:].isdigit() and any(names):
            synonyms[wnid] = [name for name in names if name]
    if not synonyms:
        raise UserError(_WORDS, f'{path} without one', 'check that this is the right file')
    return synonyms


def name_classes(synonyms: dict[str, list[str]]) -> dict[str, str]:
    """WordNet id -> class name: the first synonym that no earlier id has taken.

    Where all are taken, the first one: two things of one name (crane, the bird and the machine)
    are one class, for no text could tell them apart.
    """
    taken: set[str] = set()
    names = {}
    for wnid, choices in sorted(synonyms.items()):
        names[wnid] = next((name for name in choices if name not in taken), choices[0])
        taken.add(names[wnid])
    return names


def read_xml_files(step: Step, paths: list[Path], synonyms: dict[str, list[str]],
                   suffix: str) -> Detections:
    """All boxes; classes are those that occur.

    Corners are taken as xyxy with exclusive right and bottom edge, as they reach from 0 to the
    full width. A damaged file among half a million is dropped and counted.

    Raises:
        UserError: No file is usable.
    """
    images: dict[int, dict[str, Any]] = {}
    found: list[tuple[int, str, tuple[float, ...]]] = []
    for path in step.track(paths, 'file', len(paths)):
        try:
            image, things = read_xml(path, suffix)
        except (ElementTree.ParseError, UserError, ValueError, OSError) as error:
            step.drop('unusable xml files', f'{path.parent.name}/{path.name} ({error})')
            continue
        number = len(images) + 1
        images[number] = image
        for wnid, corners in things:
            if wnid in synonyms:
                found.append((number, wnid, corners))
            else:
                step.drop('boxes of ids without words', f'{path.name} ({wnid})')
    if not found:
        raise UserError('at least one box with a known name', f'none in {len(paths)} xml files',
                        'check --xml and --words')
    names = name_classes({wnid: synonyms[wnid] for _, wnid, _ in found})
    category_ids = {name: rank for rank, name in enumerate(dict.fromkeys(names.values()), start=1)}
    boxes = BoxBuilder()
    for number, wnid, (x1, y1, x2, y2) in found:
        boxes.add(number, category_ids[names[wnid]], (x1, y1, x2 - x1, y2 - y1))
    categories = [dict(id=rank, name=name) for name, rank in category_ids.items()]
    return Detections(images, categories, boxes.build())


def read_xml(path: Path, suffix: str) -> tuple[dict[str, Any], list[tuple[str, tuple[float, ...]]]]:
    """Image record and (WordNet id, xyxy) per object of one file.

    The image goes by the name of the xml file: ``<filename>`` is '%s' in some.

    Raises:
        ElementTree.ParseError, UserError, ValueError: The file is damaged.
    """
    root = ElementTree.parse(path).getroot()
    size = {key: root.findtext(f'size/{key}') for key in ('width', 'height')}
    image = image_record(f'{path.parent.name}/{path.stem}{suffix}', size, path.name)
    return image, list(_objects(root))


def _objects(root: ElementTree.Element) -> Iterator[tuple[str, tuple[float, ...]]]:
    for thing in root.iter('object'):
        corners = tuple(float(thing.findtext(f'bndbox/{key}', ''))
                        for key in ('xmin', 'ymin', 'xmax', 'ymax'))
        yield thing.findtext('name', '').strip(), corners


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    parser.add_argument('--xml', required=True, metavar='DIR',
                        help='folder of folders n02123045 with xml files')
    parser.add_argument('--words', required=True, metavar='FILE',
                        help='words.txt or LOC_synset_mapping.txt')
    parser.add_argument('--suffix', default='.JPEG', metavar='TEXT',
                        help='ending of the image files (default: %(default)s)')
    add_layout(parser)
