"""Small annotation files and images, written by hand."""
import json

import numpy as np
import pytest
from PIL import Image

import glipkit  # noqa: F401


@pytest.fixture
def write_image(tmp_path):
    """write_image('a.png', width, height): noise with its own seed, returns the RGB array."""

    def write(name, width=64, height=48, seed=0):
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return pixels

    return write


@pytest.fixture
def write_json(tmp_path):

    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


@pytest.fixture
def write_lines(tmp_path):

    def write(name, lines):
        path = tmp_path / name
        path.write_text('\n'.join(
            line if isinstance(line, str) else json.dumps(line) for line in lines) + '\n')
        return str(path)

    return write


@pytest.fixture
def coco():
    """coco(images, annotations, categories) -> content of a COCO json.

    images: (id, name, w, h); annotations: (image, category, bbox[, iscrowd]).
    """

    def content(images, annotations, categories):
        return dict(
            images=[dict(id=i, file_name=n, width=w, height=h) for i, n, w, h in images],
            annotations=[
                dict(id=k, image_id=a[0], category_id=a[1], bbox=a[2], area=a[2][2] * a[2][3],
                     iscrowd=a[3] if len(a) > 3 else 0) for k, a in enumerate(annotations)
            ],
            categories=[dict(id=i, name=n) for i, n in categories])

    return content


@pytest.fixture
def two_sources(tmp_path, write_image, write_json, write_lines, coco):
    """Configs of a detection set (5 images) and a grounding set (3), with a shared pipeline."""
    for i in range(8):
        write_image(f'{i}.png', 64 + 4 * i, 48, seed=i)
    write_json('det.json', coco(
        [(i, f'{i}.png', 64 + 4 * i, 48) for i in range(5)],
        [(i, 1 + i % 2, [4, 5, 20, 30]) for i in range(4)],
        [(1, 'red dog'), (2, 'cat'), (3, 'traffic_light')]))
    write_lines('grd.jsonl', [
        dict(filename=f'{i}.png', width=64 + 4 * i, height=48, grounding=dict(
            caption='a dog left of a cat',
            regions=[dict(bbox=[1, 2, 11, 12], phrase='dog', tokens_positive=[[2, 5]]),
                     dict(bbox=[20, 2, 31, 32], phrase='cat')])) for i in range(5, 8)
    ])
    # mmengine collects garbage when it serialises, which takes longer than the tests
    common = dict(data_root=str(tmp_path), data_prefix=dict(img='images'), serialize_data=False)
    return [dict(type='CocoDetection', ann_file='det.json', **common),
            dict(type='OdvgGrounding', ann_file='grd.jsonl', **common)]


@pytest.fixture
def train_pipeline():
    return [
        dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.RandomChoiceResize', resize_type='glipkit.ShortSideResize',
             scales=[(160, 96), (160, 72), (160, 60)]),
        dict(type='mmdet.RandomFlip', prob=0.5),
        dict(type='glipkit.SampleClassPrompt', num_negatives=2),
        dict(type='glipkit.PackGrounding'),
    ]
