"""The check that every training begins with: what it refuses, what it logs, what it passes over."""
import json
import logging
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from PIL import Image

from glipkit.apis import training
from glipkit.apis.checking import (
    check_training_data,
    check_validation_data,
    prompt_settings,
)
from glipkit.errors import UserError

MODEL = dict(type='GLIP', max_tokens=20, test_cfg=dict(max_tokens=12))


@pytest.fixture
def content():
    return dict(
        images=[dict(id=i, file_name=f'{i}.png', width=20, height=10) for i in range(3)],
        annotations=[dict(image_id=0, category_id=1, bbox=[1, 1, 8, 8])],
        categories=[dict(id=1, name='dog'), dict(id=2, name='cat')])


@pytest.fixture
def config(tmp_path):
    """config(content, ...) -> a config that trains on all of these files."""
    (tmp_path / 'images').mkdir()
    for i in range(3):
        Image.new('RGB', (20, 10)).save(tmp_path / 'images' / f'{i}.png')

    def make(*contents, pipeline=('SampleClassPrompt', ), **dataset):
        sources = []
        for i, content in enumerate(contents):
            (tmp_path / f'{i}.json').write_text(json.dumps(content))
            sources.append(dict(type='glipkit.CocoDetection', data_root=str(tmp_path),
                                ann_file=f'{i}.json', data_prefix=dict(img='images/'), **dataset))
        mixed = dict(type='MixedDataset', datasets=sources,
                     pipeline=[dict(type=name) for name in pipeline])
        return Config(dict(model=MODEL, train_dataloader=dict(dataset=mixed)))

    return make


@pytest.fixture
def logged(monkeypatch):
    logger = logging.Logger('run')
    records = []
    logger.addHandler(SimpleNamespace(level=0, handle=records.append))
    return logger, records


def test_a_sound_set_and_its_warnings(config, content, logged):
    logger, records = logged
    check_training_data(config(content), logger)
    said = [(r.levelname, r.getMessage()) for r in records]
    assert [level for level, _ in said] == ['WARNING', 'INFO']
    assert "classes without any box (class 2: cat)" in said[0][1]
    assert all('\n' not in text for _, text in said)


@pytest.mark.parametrize('change, said', [
    (lambda c: c['categories'][1].update(name='DOG'), "'DOG' and 'dog'"),
    (lambda c: c['categories'][1].update(name='()'), 'without a letter or digit'),
    (lambda c: c['annotations'][0].update(bbox=[30, 1, 8, 8]), 'no box is left'),
    (lambda c: c['annotations'][0].update(category_id=7), 'category_id 7'),
    (lambda c: c['annotations'].clear(), 'without a single box'),
    (lambda c: [i.update(file_name='no.png') for i in c['images']], 'no image is left'),
])
def test_what_would_give_nothing_is_refused(config, content, logged, change, said):
    change(content)
    with pytest.raises(UserError, match='glipkit check-data') as caught:
        check_training_data(config(content), logged[0])
    assert said in str(caught.value) and '0.json' in str(caught.value)


def test_negatives_beside_boxes_are_welcome(config, content, logged):
    empty = dict(content, annotations=[])
    check_training_data(config(content, empty), logged[0])
    with pytest.raises(UserError, match='without a single box'):
        check_training_data(config(empty), logged[0])


def test_the_classes_that_the_config_asks_for_count(config, content, logged):
    content['categories'].append(dict(id=3, name='DOG'))
    check_training_data(config(content, metainfo=dict(classes=('dog', ))), logged[0])
    assert logged[1][0].levelname == 'INFO'


def test_turned_photographs_are_told_and_refused_where_they_are_many(config, content, logged,
                                                                     tmp_path):
    logger, records = logged
    sound = config(content)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (20, 10)).save(tmp_path / 'images/0.png', exif=exif)
    check_training_data(sound, logger)
    told, = [r for r in records if 'EXIF' in r.getMessage()]
    assert told.levelname == 'WARNING'
    assert '0.png is 10x20, the file says 20x10' in told.getMessage()
    Image.new('RGB', (20, 10)).save(tmp_path / 'images/1.png', exif=exif)
    with pytest.raises(UserError, match='another size for half of their images'):
        check_training_data(sound, logger)


def test_datasets_of_other_libraries_are_passed_over(logged):
    cfg = Config(dict(model=MODEL, train_dataloader=dict(dataset=dict(
        type='RepeatDataset', dataset=dict(type='mmdet.CocoDataset', ann_file='no.json')))))
    check_training_data(cfg, logged[0])
    assert not logged[1]


def test_prompt_settings(config, content):
    settings = prompt_settings(config(content))
    assert (settings.max_tokens, settings.caption_tokens, settings.training_tokens) == (
        12, 20, None)
    assert prompt_settings(config(content, pipeline=())).training_tokens == 20
    assert prompt_settings('glip-t-c').max_tokens == 256
    regions = prompt_settings('regionclip-rn50')
    assert regions.max_tokens == 77 and not regions.joined and regions.training_tokens is None


def test_training_asks_before_its_first_step(config, content, monkeypatch):
    cfg = config(dict(content, annotations=[]))
    cfg.optim_wrapper, cfg.train_cfg = dict(), dict()
    runner = SimpleNamespace(logger=logging.getLogger('run'), train=lambda: 'trained')
    monkeypatch.setattr(training, 'build_runner', lambda cfg: runner)
    with pytest.raises(UserError, match='without a single box'):
        training.train(cfg)
    sound = config(content)
    sound.optim_wrapper, sound.train_cfg = dict(), dict()
    assert training.train(sound) == 'trained'


def test_a_set_without_an_annotation_file_is_named(config, content, logged):
    cfg = config(content)
    cfg.train_dataloader.dataset.datasets[0].ann_file = ''
    with pytest.raises(UserError, match='ann_file; got CocoDetection with an empty one'):
        check_training_data(cfg, logged[0])


def validated(cfg, **dataset):
    """A config that evaluates its own training file."""
    cfg.val_dataloader = dict(dataset=dict(cfg.train_dataloader.dataset.datasets[0], **dataset))
    cfg.val_cfg, cfg.val_evaluator = dict(type='ValLoop'), dict(type='glipkit.GroundingCocoMetric')
    return cfg


CROWD = dict(image_id=1, category_id=2, bbox=[1, 1, 8, 8], iscrowd=1)


@pytest.mark.parametrize('annotations, dataset, found', [
    ([], {}, False), ([CROWD], {}, False), ([CROWD, dict(CROWD, iscrowd=0)], {}, True),
    ([dict(CROWD, iscrowd=0, bbox=[30, 1, 8, 8])], {}, False),
    ([dict(CROWD, iscrowd=0)], {'indices': 1}, False),
    ([dict(CROWD, iscrowd=0)], {'indices': 2}, True),
    ([dict(CROWD, iscrowd=0)], {'indices': -1}, False),
    ([dict(CROWD, iscrowd=0)], {'indices': [1]}, True),
    ([dict(CROWD, iscrowd=0)], {'metainfo': {'classes': ['dog']}}, False),
])
def test_a_validation_set_with_nothing_to_find_is_refused(config, content, annotations, dataset,
                                                          found):
    cfg = validated(config(dict(content, annotations=annotations)), **dataset)
    if found:
        check_validation_data(cfg)
        return
    with pytest.raises(UserError, match='to validate on; got none in .*0.json'):
        check_validation_data(cfg)
    cfg.val_evaluator.type = 'glipkit.FalsePositiveMetric'  # which is for such sets
    check_validation_data(cfg)
    cfg.val_evaluator.type, cfg.val_cfg = 'GroundingCocoMetric', None
    check_validation_data(cfg)


def test_training_looks_at_the_validation_set_too(config, content, monkeypatch, tmp_path):
    cfg = config(content)
    cfg.optim_wrapper, cfg.train_cfg = dict(), dict()
    validated(cfg).val_dataloader.dataset.ann_file = 'val.json'
    (tmp_path / 'val.json').write_text(json.dumps(dict(content, annotations=[CROWD])))
    runner = SimpleNamespace(logger=logging.getLogger('run'), train=lambda: 'trained')
    monkeypatch.setattr(training, 'build_runner', lambda cfg: runner)
    with pytest.raises(UserError, match='to validate on'):
        training.train(cfg)
