"""A world as many small data sets."""
from __future__ import annotations

import json

import pytest

from glipkit.data.formats.coco_json import read_coco_json
from glipkit.errors import UserError
from glipkit.odinw.world_tasks import is_world, world_datasets

NAMES = ['red plum', 'fig', 'owl', 'kiwi', 'pear', 'hen', 'lime']
KINDS = dict(zip(NAMES, ['food/fruit'] * 2 + ['birds'] + ['food/fruit'] * 2 + ['birds', 'food']))


@pytest.fixture
def world(tmp_path):
    """Pictures 1 to 6 to train on, 1 and 2 to test on; the owl and the hen are too few a kind."""
    def coco(names, *pictures):
        categories = [dict(id=3 + 2 * i, name=name, supercategory=KINDS[name])
                      for i, name in enumerate(names)]
        ids = {c['name']: c['id'] for c in categories}
        images = [dict(id=i, file_name=f'{i}.jpg', width=9, height=9)
                  for i in range(1, 1 + len(pictures))]
        pairs = [(i, name) for i, shown in enumerate(pictures, 1) for name in shown]
        return dict(images=images, categories=categories, annotations=[
            dict(id=k, image_id=i, category_id=ids[name], bbox=[1, 1, 3, 3], area=9, iscrowd=0)
            for k, (i, name) in enumerate(pairs, 1)])

    root = tmp_path / 'world'
    (root / 'annotations').mkdir(parents=True)
    for split in ('train_det', 'val'):
        (root / 'images' / split).mkdir(parents=True)
    # The pear is in the validation picture alone, picture 5; the lime is the only food of its kind.
    train = coco([n for n in NAMES if n != 'kiwi'], ['red plum', 'owl'], ['fig'], ['hen'],
                 ['red plum', 'lime'], ['fig', 'pear'], [])
    more = coco(NAMES, ['kiwi', 'fig'], ['owl'])
    (root / 'annotations/det_train.json').write_text(json.dumps(train))
    (root / 'annotations/val.json').write_text(json.dumps(more))
    (root / 'manifest.json').write_text(json.dumps(
        {'world': 'toys', 'settings': {}, 'complete': True}))
    return root


def test_kinds_with_enough_classes(world, tmp_path, monkeypatch):
    assert is_world(world)
    monkeypatch.setattr('glipkit.odinw.world_tasks.LEAST_CLASSES', 2)
    found, = world_datasets(world, tmp_path / 'out')  # no bird is in the validation picture
    assert (found.name, found.title, found.eval_split) == ('food-fruit', 'food/fruit', 'test')
    # Neither the kiwi, which training never shows, nor the pear.
    assert found.classes == ('red plum', 'fig')
    contents = {}
    for split in ('train', 'val', 'test'):
        ann_file, images = found.find('anywhere', split)
        assert images == world / 'images' / ('val' if split == 'test' else 'train_det')
        contents[split] = coco = read_coco_json(ann_file)
        assert dict(coco.classes) == {1: 'red plum', 2: 'fig'}
    seen = {split: [(a['image_id'], coco.classes[a['category_id']]) for a in coco.annotations]
            for split, coco in contents.items()}
    assert seen == {'train': [(1, 'red plum'), (2, 'fig'), (4, 'red plum')], 'val': [(5, 'fig')],
                    'test': [(1, 'fig')]}
    assert {split: list(coco.images) for split, coco in contents.items()} == {
        'train': [1, 2, 4], 'val': [5], 'test': [1]}


def test_what_is_no_world(world, tmp_path):
    with pytest.raises(UserError, match='3 classes'):
        world_datasets(world, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    (world / 'manifest.json').write_text('{"world": "toys", "settings": {}, "complete": false}')
    with pytest.raises(UserError, match='complete world'):
        world_datasets(world, tmp_path / 'out')
    (world / 'manifest.json').write_text('{"shards": []}')
    assert not is_world(world) and not is_world(tmp_path / 'nowhere')
