"""Recipes that test pixels and masks: their sizes, and one in small, on files as they are released.
"""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image

from glipkit.apis.build import build_model
from glipkit.apis.training import load_config
from glipkit.cli.main import main
from glipkit.common.paths import config_root
from glipkit.data.formats.label_images import segment_picture
from glipkit.registry import METRICS, TRANSFORMS

DATA = ('ade20k_semantic', 'coco_stuff_semantic', 'coco_panoptic_segments', 'coco_panoptic_regions')
#: Recipe -> pixels of an image's longer side, and of a crop.
SIZES = {'b16': (1024, 224), 'l14': (896, 336), 'openai-b16': (1024, 224),
         'openai-l14': (672, 336)}
#: A tower that sees images of 1,024 pixels in a second.
SMALL = ['model.backbone.width=32', 'model.backbone.layers=1', 'model.backbone.heads=2',
         'model.backbone.embed_dim=64', 'model.text_encoder.width=32', 'model.text_encoder.heads=2',
         'model.text_encoder.layers=1', 'model.text_encoder.embed_dim=64', 'model.templates=name',
         'test_dataloader.num_workers=0']


@pytest.mark.parametrize('name', SIZES)
def test_images_have_the_size_that_the_tower_knows(name):
    path = f'configs/clipself/clipself-{name}_segment.py'
    own = load_config(path)
    for data in (None, *DATA):
        cfg = own if data is None else load_config(path, test_data=data)
        pipeline = {step.type: step for step in cfg.test_dataloader.dataset.pipeline}
        size, crop = SIZES[name]
        assert pipeline['glipkit.LongSideResize'].size == size, data
        assert pipeline.get('glipkit.CutRegions', dict(size=crop))['size'] == crop, data
        with DefaultScope.overwrite_default_scope('glipkit'):
            for step in pipeline.values():
                TRANSFORMS.build(dict(step))
            METRICS.build(dict(cfg.test_evaluator))
    with torch.device('meta'):
        model = build_model(own)
    assert size % model.backbone.stride == 0 and model.backbone.image_size == crop
    assert model.square == ('openai' not in name)


def write_released(folder: Path) -> None:
    """Two pictures of each data set, in the folders and with the values of its release."""
    random = np.random.RandomState(0)
    places = dict(img='ADEChallengeData2016/images/validation',
                  seg='ADEChallengeData2016/annotations/validation', coco='coco/val2017',
                  stuff='coco/stuffthingmaps/val2017', pan='coco/annotations/panoptic_val2017')
    for place in places.values():
        (folder / place).mkdir(parents=True)
    categories = [dict(id=1, name='person', isthing=1), dict(id=187, name='sky', isthing=0)]
    annotations, given = [], []
    for number in (1, 2):
        picture = Image.fromarray(random.randint(0, 255, (48, 64, 3)).astype(np.uint8))
        labels = np.zeros((48, 64), np.uint8)
        labels[10:], labels[40:] = 150, 3
        ids = np.where(labels > 0, 5, 900)
        for name in ('img', 'coco'):
            picture.save(folder / places[name] / f'{number}.jpg')
        Image.fromarray(labels).save(folder / places['seg'] / f'{number}.png')
        stuff = np.where(labels > 100, 255, np.where(labels > 0, 181, 0)).astype(np.uint8)
        Image.fromarray(stuff).save(folder / places['stuff'] / f'{number}.png')
        segment_picture(ids).save(folder / places['pan'] / f'{number}.png')
        segments = [dict(id=5, category_id=187, iscrowd=0, bbox=[0, 10, 64, 38], area=1),
                    dict(id=900, category_id=1, iscrowd=0, bbox=[0, 0, 64, 10], area=1)]
        file = dict(image_id=number, file_name=f'{number}.png')
        annotations.append(dict(**file, segments_info=segments))
        given.append(dict(**file, segments_info=[dict(id=5), dict(id=900)]))
    images = [dict(id=n, file_name=f'{n}.jpg', height=48, width=64) for n in (1, 2)]
    (folder / 'coco/annotations/panoptic_val2017.json').write_text(json.dumps(dict(
        images=images, annotations=annotations, categories=categories)))
    (folder / 'coco/sam.json').write_text(json.dumps(dict(annotations=given)))


@pytest.mark.slow
def test_released_files_are_scored(tmp_path, monkeypatch, capsys):
    write_released(tmp_path / 'data')
    monkeypatch.chdir(tmp_path)
    # The masks of a segmenter are those of the annotation.
    masks = ['test_dataloader.dataset.masks.ann_file=sam.json',
             'test_dataloader.dataset.masks.seg=annotations/panoptic_val2017/']
    config = str(config_root() / 'clipself/clipself-b16_segment.py')
    for data, options, score, asked in (
            (None, [], 'segment/miou', '150 names, 2 of them present'),
            ('coco_stuff_semantic', [], 'segment/miou', '171 names, 2 of them present'),
            ('coco_panoptic_segments', [], 'panoptic/pq', 'the annotated masks of 2 images'),
            ('coco_panoptic_segments', masks, 'panoptic/pq', 'given masks of 2 images')):
        assert main(['test', config, 'random', *(['--data', data] if data else []), '--out',
                     'out/found.json', '--cfg-options', *SMALL, *options]) == 0
        said = capsys.readouterr().out
        assert score in said and 'pictures: out/found.png' in said
        with Image.open('out/found.png') as sheet:
            assert sheet.width == 3 * (320 + 4)  # the image, the truth, the model
        Path('out/found.png').unlink()
        assert asked in json.loads(Path('out/found.json').read_text())['protocol']
