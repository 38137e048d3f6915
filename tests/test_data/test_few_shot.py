"""Few-shot samples and validation splits."""
from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glipkit.data.few_shot import (
    few_shot_file,
    few_shot_images,
    few_shot_name,
    split_by_image,
    validation_images,
)
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.errors import UserError


def coco(contents: dict[int, list[int]], classes=(7, 90, 1000)) -> CocoJson:
    """Image id -> category ids of its boxes."""
    annotations = [dict(image_id=i, category_id=c, bbox=[0., 0., 9., 9.])
                   for i, cs in contents.items() for c in cs]
    return CocoJson('x.json', {i: dict(file_name=f'{i}.jpg') for i in contents}, annotations,
                    {c: str(c) for c in classes}, 0)


def write(path: Path, contents: dict[int, list[int]], classes=(7, 90, 1000)) -> Path:
    data = coco(contents, classes)
    path.write_text(json.dumps(dict(
        info=dict(year=1), images=[dict(id=i, **r) for i, r in data.images.items()],
        annotations=[dict(a, id=n) for n, a in enumerate(data.annotations, 1)],
        categories=[dict(id=c, name=n) for c, n in data.classes.items()])))
    return path


def test_the_official_rule_by_hand():
    """Ascending ids, one shot. Image 1 has class 7 twice and counts once; image 2 adds nothing
    new; 3 brings 90 and is taken though its 7 is no longer wanted; 4 is empty; 5 brings 1000."""
    data = coco({5: [1000], 4: [], 3: [7, 90], 2: [7], 1: [7, 7]})
    assert few_shot_images(data, 1, seed=0) == [1, 3, 5]
    # Two shots: image 2 is the second of class 7; then 3 is taken for 90, 5 for 1000.
    assert few_shot_images(data, 2, seed=0) == [1, 2, 3, 5]


@given(st.dictionaries(st.integers(0, 50), st.lists(st.sampled_from([7, 90, 1000]), max_size=4),
                       max_size=30).filter(lambda d: any(d.values())),
       st.integers(1, 5), st.integers(0, 400))
def test_every_class_gets_its_shots_or_all_there_are(contents, shots, seed):
    chosen = few_shot_images(coco(contents), shots, seed)
    assert len(chosen) == len(set(chosen)) and all(contents[i] for i in chosen)
    for c in (7, 90, 1000):
        there = sum(c in classes for classes in contents.values())
        assert sum(c in contents[i] for i in chosen) >= min(shots, there)
    # None of them could be left out at the moment it was taken.
    counts: Counter = Counter()
    for i in chosen:
        assert any(counts[c] < shots for c in contents[i])
        counts.update(set(contents[i]))


def test_seeds_draw_differently_and_always_the_same():
    data = coco({i: [7] for i in range(40)})
    draws = [few_shot_images(data, 3, seed) for seed in (3, 30, 300, 3)]
    assert draws[0] == draws[3] and len({tuple(d) for d in draws}) == 3


def test_crowds_are_no_examples():
    data = coco({1: [7], 2: [7]})
    data.annotations[0]['iscrowd'] = 1
    assert few_shot_images(data, 1, 0) == [2]
    data.annotations[1]['iscrowd'] = 1
    with pytest.raises(UserError, match='boxes'):
        few_shot_images(data, 1, 0)


def test_a_file_is_written_once_and_used_again(tmp_path):
    source = write(tmp_path / 'train.json', {1: [7], 2: [90], 3: [1000], 4: [7, 90], 5: []})
    path = few_shot_file(source, 1, 0, tmp_path / 'shots')
    assert path == tmp_path / 'shots' / 'fewshot_train_shot1_seed0.json'
    content = json.loads(path.read_text())
    assert [i['id'] for i in content['images']] == [1, 2, 3]
    assert [a['id'] for a in content['annotations']] == [1, 2, 3]
    assert content['info'] == dict(year=1) and len(content['categories']) == 3
    path.write_text(path.read_text().replace('"year": 1', '"year": 2'))
    assert few_shot_file(source, 1, 0, tmp_path / 'shots') == path
    assert '"year": 2' in path.read_text()
    assert not list(path.parent.glob('*.part'))


def test_a_published_file_comes_first(tmp_path):
    source = write(tmp_path / 'annotations_without_background.json', {1: [7], 2: [90]})
    published = write(tmp_path / few_shot_name(3, 30), {2: [90]})
    assert few_shot_file(source, 3, 30, tmp_path / 'shots') == published
    assert not (tmp_path / 'shots').exists()
    write(published, {2: [8]}, classes=(8, ))
    with pytest.raises(UserError, match='categories'):
        few_shot_file(source, 3, 30, tmp_path / 'shots')


def test_no_shots_are_refused():
    with pytest.raises(UserError, match='shot'):
        few_shot_images(coco({1: [7]}), 0, 0)


@given(st.integers(2, 30), st.integers(0, 8), st.integers(0, 5))
def test_a_split_is_a_partition_with_boxes_on_both_sides(tmp_path_factory, with_boxes, empty,
                                                         seed):
    folder = tmp_path_factory.mktemp('split')
    contents = {i: [7] if i < with_boxes else [] for i in range(with_boxes + empty)}
    source = write(folder / 'all.json', contents)
    parts = [read_coco_json(path) for path in split_by_image(source, 0.2, seed, folder)]
    ids = [set(part.images) for part in parts]
    assert ids[0] | ids[1] == set(contents) and not ids[0] & ids[1]
    assert all(part.annotations for part in parts)
    assert len(ids[1]) == max(1, round(0.2 * with_boxes)) + round(0.2 * empty)


def test_one_image_cannot_be_split(tmp_path):
    with pytest.raises(UserError, match='two images'):
        split_by_image(write(tmp_path / 'a.json', {1: [7], 2: []}), 0.2, 0, tmp_path)


def test_crowds_and_specks_are_nothing_to_validate_on():
    """Of five images with boxes one has a crowd alone, one a box outside: never set aside for
    their boxes, whatever the seed."""
    data = coco({i: [7] for i in range(1, 6)})
    data.annotations[3]['iscrowd'] = 1
    data.annotations[4]['bbox'] = [0., 0., 9., .5]
    for seed in range(20):
        chosen = validation_images(data, 0.2, seed)
        assert chosen & {1, 2, 3} and {1, 2, 3} - chosen
    data.annotations[1]['iscrowd'] = data.annotations[2]['iscrowd'] = 1
    with pytest.raises(UserError, match='two images with boxes.*1 in'):
        validation_images(data, 0.2, 0)


@given(st.dictionaries(st.integers(0, 30), st.lists(st.sampled_from([7, 90, 1000]), max_size=3),
                       min_size=2), st.integers(0, 30))
def test_no_class_loses_its_last_training_image(contents, seed):
    try:
        chosen = validation_images(coco(contents), 0.2, seed)
    except UserError:  # every image is the only one of a class, or there are too few
        holders = Counter(c for classes in contents.values() for c in set(classes))
        assert sum(map(bool, contents.values())) < 2 or all(
            any(holders[c] == 1 for c in classes) for classes in contents.values() if classes)
        return
    assert any(contents[i] for i in chosen)
    assert {c for classes in contents.values() for c in classes} == {
        c for i, classes in contents.items() if i not in chosen for c in classes}


def test_a_draw_that_takes_nobodys_last_image_is_as_ever():
    data = coco({i: [7] for i in range(20)})
    assert validation_images(data, 0.2, 3) == set(random.Random(3).sample(range(20), 4))
