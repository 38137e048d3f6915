"""A small sound world in every annotation format, as bytes that can be damaged before writing."""
from __future__ import annotations

import base64
import copy
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
NAMES = [f'{i}.png' for i in range(4)]
CLASSES = {3: 'red dog', 7: 'cat', 12: 'traffic_light'}
CAPTION = 'A red dog left of two cats, naïve and small.'
SPANS = {'A red dog': [0, 9], 'two cats': [18, 26], 'naïve': [28, 33]}
BOXES = [[2, 3, 12, 13], [20, 5, 15, 20], [5, 10, 8, 6]]  # xywh
FORMATS = ('coco', 'lvis', 'odvg-detection', 'odvg-grounding', 'mdetr', 'flickr', 'shards-jsonl',
           'shards-tar', 'tsv')


@dataclass
class World:
    """A set before it is written.

    Args:
        kind: One of `FORMATS`.
        file_format: Its name in glipkit.
        reader: Class of the dataset.
        documents: JSON values that the main file holds: one, or one per line or sample.
        arguments: Of the reader, beside ann_file and data_prefix.
        images: File name -> bytes.
        extra: Other files -> bytes.
    """
    kind: str
    file_format: str
    reader: str
    documents: list[Any]
    arguments: dict[str, str] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    extra: dict[str, bytes] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Name of the main file."""
        return {'shards-tar': 'ann.tar', 'tsv': 'train.label.tsv'}.get(
            self.kind, 'ann.jsonl' if self.lines else 'ann.json')

    @property
    def lines(self) -> bool:
        """Whether the main file has a document a line."""
        return self.kind in ('odvg-detection', 'odvg-grounding', 'shards-jsonl')

    def encode(self) -> bytes:
        """The main file."""
        texts = [json.dumps(d).encode() for d in self.documents]
        if self.kind == 'shards-tar':
            return _tar(texts, list(self.images.values()))
        if self.kind == 'tsv':
            return b''.join(b'%d\t%s\n' % (i, text) for i, text in enumerate(texts))
        return b'\n'.join(texts) + b'\n' if self.lines else texts[0]


def make(kind: str) -> World:
    """The sound world of a format, a new copy each time."""
    world = copy.deepcopy(_MAKERS[kind]())
    world.images = dict(_IMAGES)
    if kind == 'tsv':
        rows = enumerate(world.images.values())
        world.extra['images.tsv'] = b''.join(
            b'%d\t%s\n' % (i, base64.b64encode(content)) for i, content in rows)
    return world


def picture(seed: int, mode: str = 'RGB', form: str = 'PNG', **options: Any) -> bytes:
    """An image file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return file.getvalue()


_IMAGES = {name: picture(i) for i, name in enumerate(NAMES)}


def _image_records(**more: Any) -> list[dict]:
    return [dict(id=10 + i, file_name=name, width=WIDTH, height=HEIGHT, **more)
            for i, name in enumerate(NAMES)]


def _coco() -> World:
    annotations = [
        dict(id=k, image_id=10 + k % 3, category_id=list(CLASSES)[k % 3], bbox=BOXES[k % 3],
             area=100, iscrowd=int(k == 5)) for k in range(7)
    ]
    categories = [dict(id=i, name=name) for i, name in CLASSES.items()]
    return World('coco', 'coco', 'CocoDetection', [
        dict(images=_image_records(), annotations=annotations, categories=categories)])


def _lvis() -> World:
    world = _coco()
    world.kind, world.file_format, world.reader = 'lvis', 'lvis', 'LvisDetection'
    for i, image in enumerate(world.documents[0]['images']):
        image.update(neg_category_ids=[3] if i % 2 else [], not_exhaustive_category_ids=[7])
        image['coco_url'] = f'http://x/{image.pop("file_name")}'
    for image, name in zip(world.documents[0]['images'], NAMES):
        image['coco_url'] = f'http://x/./{name}'
    return world


def _xyxy(box: list[int]) -> list[int]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def _detection() -> World:
    lines = [dict(filename=name, width=WIDTH, height=HEIGHT, detection=dict(instances=[
        dict(bbox=_xyxy(BOXES[k]), label=k, category=list(CLASSES.values())[k])
        for k in range(i)])) for i, name in enumerate(NAMES)]
    labels = json.dumps({str(i): name for i, name in enumerate(CLASSES.values())}).encode()
    return World('odvg-detection', 'odvg', 'OdvgGrounding', lines,
                 dict(label_map_file='label_map.json'), extra={'label_map.json': labels})


def _regions(score: bool = False) -> list[dict]:
    phrases = list(SPANS)
    regions = [
        dict(bbox=_xyxy(BOXES[0]), phrase=phrases[0], tokens_positive=[SPANS[phrases[0]]]),
        dict(bbox=[_xyxy(BOXES[1]), _xyxy(BOXES[2])], phrase=phrases[1]),
        dict(bbox=_xyxy(BOXES[2]), phrase=phrases[2], tokens_positive=[SPANS[phrases[2]]]),
    ]
    for i, region in enumerate(regions):
        if score:
            region['score'] = [0.9, 0.6] if i == 1 else 0.3 + 0.3 * i
    return regions


def _grounding(score: bool = False) -> World:
    lines = [dict(filename=name, width=WIDTH, height=HEIGHT, grounding=dict(
        caption=CAPTION, regions=_regions(score))) for name in NAMES]
    return World('odvg-grounding', 'odvg', 'OdvgGrounding', lines)


def _shards() -> World:
    world = _grounding(score=True)
    world.kind, world.file_format, world.reader = 'shards-jsonl', 'caption-shards', 'CaptionShards'
    return world


def _tar_shards() -> World:
    world = _shards()
    world.kind = 'shards-tar'
    return world


def _mdetr() -> World:
    images = _image_records(caption=CAPTION, data_source='vg', dataset_name='mixed')
    annotations = [
        dict(id=k, image_id=10 + k % 3, category_id=1, bbox=BOXES[k % 3], area=100, iscrowd=0,
             tokens_positive=[list(SPANS.values())[k % 3]]) for k in range(6)
    ]
    return World('mdetr', 'mdetr', 'MdetrGrounding', [
        dict(images=images, annotations=annotations, categories=[])])


def _flickr() -> World:
    world = _mdetr()
    world.kind, world.file_format, world.reader = 'flickr', 'flickr', 'FlickrGrounding'
    for i, image in enumerate(world.documents[0]['images']):
        image.update(dataset_name='flickr', sentence_id=i, original_img_id=i, width=str(WIDTH),
                     height=str(HEIGHT), tokens_positive_eval=[[s] for s in SPANS.values()])
    world.documents[0]['categories'] = [dict(id=1, name='object')]
    return world


def _tsv() -> World:
    rows = [[{'class': list(CLASSES.values())[k], 'rect': _xyxy(BOXES[k])} for k in range(i)]
            for i in range(len(NAMES))]
    labels = {'__background__': 0, **{name: i + 1 for i, name in enumerate(CLASSES.values())}}
    sizes = ''.join(f'{i}\t[{{"height": {HEIGHT}, "width": {WIDTH}}}]\n' for i in range(4))
    return World('tsv', 'tsv', 'TsvDetection', rows,
                 dict(label_map_file='labels.json', hw_file='train.hw.tsv',
                      img_file='images.tsv'),
                 extra={'labels.json': json.dumps({'label_to_idx': labels}).encode(),
                        'train.hw.tsv': sizes.encode()})


def _tar(texts: list[bytes], images: list[bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w') as tar:
        for i, (text, image) in enumerate(zip(texts, images)):
            for name, content in ((f'{i:03}.png', image), (f'{i:03}.json', text)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


_MAKERS = {'coco': _coco, 'lvis': _lvis, 'odvg-detection': _detection,
           'odvg-grounding': _grounding, 'mdetr': _mdetr, 'flickr': _flickr,
           'shards-jsonl': _shards, 'shards-tar': _tar_shards, 'tsv': _tsv}
