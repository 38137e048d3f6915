"""The shapes world on disk: same from the same seed, honest splits, tight boxes."""
import json

import numpy as np
import pytest
from PIL import Image

from glipkit.errors import UserError
from glipkit.worlds import shapes, world
from glipkit.worlds.patches import OVERLAP
from glipkit.worlds.shape_drawing import draw_patch
from glipkit.worlds.shape_vocabulary import COLOURS, all_combinations, splits

SIZES = dict(num_train_det=24, num_train_grd=40, num_val=30, image_size=128)


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world') / 'shapes'
    return folder, shapes.build(folder, 3, **SIZES, workers=1)


def load(folder, name):
    text = (folder / 'annotations' / name).read_text(encoding='utf-8')
    if name.endswith('.jsonl'):
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def test_same_seed_same_files_however_many_workers(built, tmp_path):
    shapes.build(tmp_path / 'again', 3, **SIZES, workers=2)
    assert contents(tmp_path / 'again') == contents(built[0])


def test_other_seed_other_pictures_but_same_groups(built, tmp_path):
    shapes.build(tmp_path / 'other', 4, **SIZES, workers=1)
    ours, theirs = contents(built[0]), contents(tmp_path / 'other')
    assert ours.keys() == theirs.keys()
    same = {name for name in ours if ours[name] == theirs[name]}
    assert same == {'annotations/splits.json'}


def test_more_pictures_leave_the_first_ones_as_they_are(built, tmp_path):
    shapes.build(tmp_path / 'more', 3, **{**SIZES, 'num_val': 33, 'num_train_det': 1}, workers=1)
    ours, more = contents(built[0]), contents(tmp_path / 'more')
    shared = [name for name in ours if name.startswith('images/val/')]
    assert len(shared) == SIZES['num_val']
    assert all(ours[name] == more[name] for name in shared)


def test_training_pictures_show_their_groups_alone(built):
    folder, _ = built
    groups = {group: set(names) for group, names in load(folder, 'splits.json').items()}
    assert groups == {group: set(names) for group, names in splits().names().items()}
    det, val = load(folder, 'det_train.json'), load(folder, 'val.json')
    names = {item['id']: item['name'] for item in val['categories']}
    assert set(names.values()) == groups['seen'] | groups['unseen'] | groups['caption_only']
    assert {item['name'] for item in det['categories']} == groups['seen']
    assert all(names[item['id']] == item['name'] for item in det['categories'])
    shown = {names[item['category_id']] for item in det['annotations']}
    assert shown and shown <= groups['seen']
    shown = {names[item['category_id']] for item in val['annotations']}
    assert all(shown & group for group in groups.values())


def test_unseen_names_are_in_no_training_caption_nor_picture(built):
    folder, _ = built
    unseen = set(splits().names()['unseen'])
    captions = [line['grounding']['caption'] for line in load(folder, 'grd_train.jsonl')]
    assert not any(name in caption for caption in captions for name in unseen)
    spoken = set(' '.join(captions).replace('.', ' ').replace(',', ' ').split())
    assert {'pink', 'heart'} <= spoken
    for split in ('train_det', 'train_grd'):
        plans = world.plan_pictures(make_world(), split, 200, seed=9)
        assert not unseen & {name for plan in plans for name in plan}


def make_world():
    names = splits().names()
    return world.World('shapes', names, {}, shapes.draw_scene, shapes.OBJECTS)


def test_plan_deals_every_category_in_turn():
    plans = world.plan_pictures(make_world(), 'val', 200, seed=1)
    shown = [name for plan in plans for name in plan]
    counts = {group: [shown.count(name) for name in names]
              for group, names in splits().names().items()}
    assert min(counts['unseen']) >= 4
    assert max(map(sum, counts.values())) < 1.35 * min(map(sum, counts.values()))
    assert all(2 <= len(plan) <= 6 for plan in plans)


def test_every_picture_has_its_own_chance(tmp_path):
    names = ('small red plain circle', 'large blue dotted star')
    pictures = [world.make_picture(make_world(), tmp_path, 3, 128, (split, number, names))
                for split in ('train_det', 'val') for number in (1, 2)]
    assert len({picture.things for picture in pictures}) == 4
    assert len({path.read_bytes() for path in tmp_path.rglob('*.jpg')}) == 4


def test_coco_files_are_whole(built):
    folder, manifest = built
    for name, split in (('det_train.json', 'train_det'), ('val.json', 'val')):
        data = load(folder, name)
        images = {item['id']: item for item in data['images']}
        assert len(images) == manifest['counts'][split]['pictures'] == len(data['images'])
        assert len(data['annotations']) == manifest['counts'][split]['boxes']
        assert len({item['id'] for item in data['annotations']}) == len(data['annotations'])
        assert {item['image_id'] for item in data['annotations']} == set(images)
        for item in data['annotations']:
            x, y, width, height = item['bbox']
            assert 0 <= x and 0 <= y and x + width <= 128 and y + height <= 128
            assert item['area'] == width * height > 0 and item['iscrowd'] == 0
    with Image.open(folder / 'images/val' / images[1]['file_name']) as picture:
        assert picture.size == (128, 128) and picture.mode == 'RGB'


def test_captions_list_every_matching_box(built):
    folder, _ = built
    val = load(folder, 'val.json')
    names = {item['id']: set(item['name'].split()) for item in val['categories']}
    for line, image in zip(load(folder, 'val_grd.jsonl'), val['images']):
        assert line['filename'] == image['file_name']
        things = [(item['bbox'], names[item['category_id']]) for item in val['annotations']
                  if item['image_id'] == image['id']]
        for region in line['grounding']['regions']:
            several = isinstance(region['bbox'][0], list)
            words = region['phrase'].split()
            if several:
                words[-1] = words[-1][:-2 if words[-1] == 'crosses' else -1]
            expected = sorted([x, y, x + w, y + h] for (x, y, w, h), spoken in things
                              if set(words) <= spoken)
            assert expected == sorted(region['bbox'] if several else [region['bbox']])
            caption = line['grounding']['caption']
            assert all(caption[start:end] == region['phrase']
                       for start, end in region['tokens_positive'])


@pytest.mark.parametrize('combination', all_combinations()[::7], ids=lambda item: item.name)
def test_box_is_tight_to_what_is_drawn(combination):
    patch = draw_patch(combination, 192, np.random.default_rng(11))
    canvas = np.full((120, 120, 3), 127., np.float32)
    patch.paste(canvas, 10, 15)
    changed = (np.abs(canvas - 127) > .5).any(-1)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    drawn = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    box = patch.box_at(10, 15)
    assert np.abs(np.array(box) - drawn).max() < 1
    assert box[0] >= drawn[0] and box[1] >= drawn[1] and box[2] <= drawn[2] and box[3] <= drawn[3]
    low, high = (24, 34) if combination.size == 'small' else (52, 78)
    assert low - .5 <= max(box[2] - box[0], box[3] - box[1]) <= high + .5


def test_objects_hide_little_of_each_other():
    rng = np.random.default_rng(2)
    names = [item.name for item in splits().seen]
    for _ in range(15):
        chosen = [names[index] for index in rng.integers(0, len(names), 6)]
        _, things = shapes.draw_scene(chosen, 192, rng)
        assert things[0].name == chosen[0]
        boxes = np.array([thing.box for thing in things])
        for rank, box in enumerate(boxes):
            others = np.delete(boxes, rank, 0)
            sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
            shared = np.prod(np.maximum(sides, 0), 1)
            assert (shared <= OVERLAP * np.prod(box[2:] - box[:2]) + 1e-6).all()


def test_colour_of_a_plain_shape_is_the_named_one():
    rng = np.random.default_rng(0)
    for item in all_combinations():
        if item.texture == 'plain' and item.shape == 'square':
            patch = draw_patch(item, 192, rng)
            middle = patch.colour[patch.colour.shape[0] // 2, patch.colour.shape[1] // 2]
            away = {word: np.abs(np.array(rgb) - middle).sum() for word, rgb in COLOURS.items()}
            assert min(away, key=away.get) == item.colour


def test_complete_world_is_left_alone_and_a_broken_one_made_anew(tmp_path):
    sizes = dict(num_train_det=2, num_train_grd=2, num_val=2, image_size=96, workers=1)
    manifest = shapes.build(tmp_path, 0, **sizes)
    picture = tmp_path / 'images/val/000001.jpg'
    picture.write_bytes(b'kept')
    assert shapes.build(tmp_path, 0, **sizes) == manifest
    assert picture.read_bytes() == b'kept'
    # What a killed run leaves behind:
    broken = {**manifest, 'complete': False}
    (tmp_path / 'manifest.json').write_text(json.dumps(broken))
    (tmp_path / 'images/val/000009.jpg.partial').write_bytes(b'')
    assert shapes.build(tmp_path, 0, **sizes) == manifest
    assert picture.read_bytes() != b'kept'
    assert not list(tmp_path.rglob('*.partial'))
    assert shapes.build(tmp_path, 1, **sizes)['settings']['seed'] == 1


def test_interrupted_run_leaves_no_annotations(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(world.world_files, 'save_image', fail)
    with pytest.raises(KeyboardInterrupt):
        shapes.build(tmp_path, 0, 2, 2, 2, workers=1)
    assert not json.loads((tmp_path / 'manifest.json').read_text())['complete']
    assert not list((tmp_path / 'annotations').iterdir())


@pytest.mark.parametrize('foreign', ['images/mine.jpg', 'annotations/mine.json', 'manifest.json'])
def test_foreign_files_are_never_touched(tmp_path, foreign):
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text('mine')
    with pytest.raises(UserError, match='choose another output folder'):
        shapes.build(tmp_path, 0, 1, 1, 1)
    assert contents(tmp_path) == {foreign: b'mine'}


@pytest.mark.parametrize('wrong', [dict(seed=-1), dict(num_val=-3), dict(image_size=20),
                                   dict(workers=0)])
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(UserError, match='got'):
        shapes.build(tmp_path / 'new', **wrong)
    assert not (tmp_path / 'new').exists()
