"""One data set in the layouts of all programs, for the tests of reading, checking and tuning."""
from __future__ import annotations

import json
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import yaml
from PIL import Image

#: Names of images, of different sizes, and their boxes: class, x1, y1, x2, y2.
NAMES = ('cat', 'dog', 'été & <b>')
SIZES = {'a 1.png': (97, 64), 'b.png': (64, 80), 'ü.png': (120, 50), 'z.png': (64, 64)}
BOXES = {
    'a 1.png': [('dog', 3, 4, 50, 60), ('cat', 0, 0, 97, 64)],
    'b.png': [('été & <b>', 10, 20, 33, 47)],
    'ü.png': [],
    'z.png': [('cat', 1, 2, 30, 40), ('cat', 5, 5, 64, 64), ('dog', 8, 30, 20, 59)],
}
LAYOUTS = ('coco', 'roboflow', 'yolo', 'voc', 'labelme', 'csv')


def write_world(root: Path, layout: str, parts: dict[str, dict], sizes: dict, names=NAMES) -> Path:
    """Writes a data set.

    Args:
        root: A new folder.
        layout: One of `LAYOUTS`.
        parts: ``'train'``, ``'val'`` -> name of an image -> its boxes.
        sizes: Name of an image -> width and height.
        names: Classes in their order.
    """
    for part, boxes in parts.items():
        folder = root / _FOLDERS[layout].format(part=part, other={'val': 'valid'}.get(part, part))
        folder.mkdir(parents=True)
        for name in boxes:
            draw(folder / name, sizes[name])
        _WRITERS[layout](root, part, boxes, sizes, names)
    if layout == 'yolo':
        content = dict(train='../train/images', val='../val/images', test='', nc=len(names),
                       names=list(names))
        (root / 'data.yaml').write_text(yaml.safe_dump(content, allow_unicode=True),
                                        encoding='utf-8')
    return root


def draw(path: Path, size: tuple[int, int]) -> None:
    """A picture that hangs on its name alone."""
    rng = np.random.default_rng(sum(path.name.encode()))
    blocks = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    blocks.resize(size, Image.Resampling.NEAREST).save(path)


def coco_json(boxes: dict, sizes: dict, names, first: int = 1) -> dict:
    """The content of a COCO json."""
    content = dict(images=[], annotations=[], categories=[
        dict(id=i, name=name, supercategory='things') for i, name in enumerate(names, first)])
    for number, (name, own) in enumerate(boxes.items(), 1):
        width, height = sizes[name]
        content['images'].append(dict(id=number, file_name=name, width=width, height=height))
        for label, x1, y1, x2, y2 in own:
            content['annotations'].append(dict(
                id=len(content['annotations']) + 1, image_id=number,
                category_id=names.index(label) + first, bbox=[x1, y1, x2 - x1, y2 - y1],
                area=(x2 - x1) * (y2 - y1), iscrowd=0, segmentation=[]))
    return content


def _coco(root, part, boxes, sizes, names):
    (root / 'annotations').mkdir(exist_ok=True)
    (root / 'annotations' / f'instances_{part}.json').write_text(
        json.dumps(coco_json(boxes, sizes, names)))


def _roboflow(root, part, boxes, sizes, names):
    content = coco_json(boxes, sizes, names)
    content['categories'].insert(0, dict(id=0, name='things', supercategory='none'))
    folder = root / {'val': 'valid'}.get(part, part)
    (folder / '_annotations.coco.json').write_text(json.dumps(content))


def _yolo(root, part, boxes, sizes, names):
    (root / part / 'labels').mkdir()
    for name, own in boxes.items():
        width, height = sizes[name]
        rows = [(names.index(label), (x1 + x2) / 2 / width, (y1 + y2) / 2 / height,
                 (x2 - x1) / width, (y2 - y1) / height) for label, x1, y1, x2, y2 in own]
        if rows:  # images without objects have no file
            (root / part / 'labels' / name).with_suffix('.txt').write_text(
                ''.join('{} {:.6f} {:.6f} {:.6f} {:.6f}\n'.format(*row) for row in rows))


def _voc(root, part, boxes, sizes, names):
    for name, own in boxes.items():
        width, height = sizes[name]
        objects = ''.join(
            f'\n<object><name>{escape(label)}</name><difficult>0</difficult><bndbox>'
            f'<xmin>{round(x1) + 1}</xmin><ymin>{round(y1) + 1}</ymin><xmax>{round(x2)}</xmax>'
            f'<ymax>{round(y2)}</ymax></bndbox></object>' for label, x1, y1, x2, y2 in own)
        (root / {'val': 'valid'}.get(part, part) / name).with_suffix('.xml').write_text(
            f'<annotation><folder></folder><filename>{name}</filename><size><width>{width}</width>'
            f'<height>{height}</height><depth>3</depth></size>{objects}\n</annotation>\n',
            encoding='utf-8')


def _labelme(root, part, boxes, sizes, names):
    for name, own in boxes.items():
        width, height = sizes[name]
        shapes = [dict(label=label, points=[[x1, y1], [x2, y2]], group_id=None, flags={},
                       shape_type='rectangle') for label, x1, y1, x2, y2 in own]
        (root / part / name).with_suffix('.json').write_text(json.dumps(dict(
            version='5.5.0', flags={}, shapes=shapes, imagePath=name, imageData='aGk=',
            imageHeight=height, imageWidth=width)))


def _csv(root, part, boxes, sizes, names):
    rows = ['filename,width,height,class,xmin,ymin,xmax,ymax']
    for name, own in boxes.items():
        width, height = sizes[name]
        rows += [f'{name},{width},{height},{label},{x1},{y1},{x2},{y2}'
                 for label, x1, y1, x2, y2 in own] or [f'{name},{width},{height},,,,,']
    (root / f'{part}_labels.csv').write_text('\n'.join(rows) + '\n', encoding='utf-8')


_FOLDERS = dict(coco='{part}', roboflow='{other}', yolo='{part}/images', voc='{other}',
                labelme='{part}', csv='images/{part}')
_WRITERS = dict(coco=_coco, roboflow=_roboflow, yolo=_yolo, voc=_voc, labelme=_labelme, csv=_csv)
