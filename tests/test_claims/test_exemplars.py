"""The exemplar benchmark: tasks, counts and verdicts on hand-made numbers."""
from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from glipkit.apis.detections import Detections
from glipkit.claims import exemplars
from glipkit.claims.exemplar_scores import (
    Marked,
    as_records,
    fooled_at_equal_recall,
    labels_of_objects,
    mark,
)
from glipkit.claims.exemplar_tasks import PICTURES, shapes_task, stamps_drawer, stamps_task, write
from glipkit.claims.exemplar_units import CLAIMS, SHOTS, plan_units
from glipkit.claims.exemplar_verdicts import judge, score_rows
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.errors import UserError
from glipkit.testing.toy_stamps import draw_toy_stamps
from glipkit.worlds import shapes
from glipkit.worlds.shape_vocabulary import splits
from glipkit.worlds.stamp_source import list_stamps
from glipkit.worlds.stamps import choose_groups

FEW = dict.fromkeys(PICTURES, 2)


def arguments(out, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    exemplars.add_arguments(parser)
    args = parser.parse_args(words)
    args.out = out
    return args


# -- tasks ----------------------------------------------------------------------------------------


def test_unnamed_shapes_were_never_shown_and_look_alikes_differ_in_one_word():
    task, groups = shapes_task(FEW, 1), splits().names()
    assert set(task.unnamed.values()) <= set(groups['unseen'])
    known = [*task.words, *task.look_alikes, *task.things('pairs')]
    assert set(known) <= set(groups['seen']) and len(known) == len(set(known))
    for one, other in (*zip(task.unnamed.values(), task.look_alikes), *task.pairs):
        assert len(set(one.split()) ^ set(other.split())) == 2
    # Seeds draw other pictures of the same things.
    assert shapes_task(FEW, 2).unnamed == task.unnamed and shapes_task(FEW, 2) != task


def test_annotations_have_the_names_that_are_asked(tmp_path):
    task = shapes_task(FEW)
    write(task, tmp_path, shapes.draw_scene)
    test = read_coco_json(task.annotated(tmp_path, 'test').ann_file)
    assert list(test.classes.values()) == [*task.unnamed, *task.words]
    unnamed = read_coco_json(task.annotated(tmp_path, 'test', 'unnamed').ann_file)
    assert list(unnamed.classes.values()) == list(task.unnamed)
    assert 0 < len(unnamed.annotations) < len(test.annotations)
    assert unnamed.images == test.images
    train = read_coco_json(task.annotated(tmp_path, 'train').ann_file)
    assert list(train.classes.values()) == list(task.unnamed)
    assert len(list(task.annotated(tmp_path, 'pairs').images.glob('*.jpg'))) == 2
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
    write(task, tmp_path, None)  # nothing is drawn again
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')} == before


def test_stamps_that_lack_the_usual_ones_have_others(tmp_path):
    stamps = list_stamps(draw_toy_stamps(tmp_path / 'stamps'))
    groups = choose_groups({stamp.name: stamp.folder for stamp in stamps})
    task = stamps_task(stamps, FEW, 64)
    assert set(task.unnamed.values()) <= set(groups['unseen'])
    assert len(task.look_alikes) == len(task.unnamed)
    known = [*task.words, *task.look_alikes, *task.things('pairs')]
    assert set(known) <= set(groups['seen']) and len(known) == len(set(known))
    write(task, tmp_path / 'task', stamps_drawer(stamps))
    with pytest.raises(UserError, match='8 kinds'):
        stamps_task(stamps[:3], FEW, 64)


# -- counts ---------------------------------------------------------------------------------------


def record(category, box, score=None, image=1):
    return dict(image_id=image, category_id=category, bbox=box,
                **({} if score is None else {'score': score}))


LEFT, RIGHT, AWAY = [0, 0, 10, 10], [20, 0, 10, 10], [50, 50, 10, 10]


def test_an_object_is_found_once_and_look_alikes_are_told_apart():
    objects = [record(1, LEFT), record(2, RIGHT), record(1, LEFT, image=2)]
    found = [record(1, LEFT, .5), record(1, LEFT, .9), record(1, RIGHT, .8), record(1, AWAY, .7),
             record(2, LEFT, .99), record(1, [0, 0, 10, 4], .95)]
    marked = mark(objects, found, 1, [2])
    assert marked.objects == 2 and marked.scores.tolist() == [.95, .9, .8, .7, .5]
    assert marked.right.tolist() == [False, True, False, False, False]
    assert marked.fooled.tolist() == [False, False, True, False, False]
    nothing = mark(objects, [], 1, [2])
    assert nothing.objects == 2 and nothing.scores.size == 0


def marked(*rows, objects=4):
    scores, kinds = zip(*rows)
    return Marked(np.array(scores), np.array([kind == 'right' for kind in kinds]),
                  np.array([kind == 'fooled' for kind in kinds]), objects)


def test_false_positives_count_where_both_find_as_much():
    ours = marked((.9, 'right'), (.8, 'fooled'), (.7, 'right'), (.6, 'fooled'), (.5, 'right'),
                  (.4, 'fooled'))
    theirs = marked((.9, 'fooled'), (.8, 'fooled'), (.3, 'right'), (.2, 'right'))
    assert fooled_at_equal_recall(ours, theirs, recall=1.) == (1, 2, .5)  # two of four objects
    assert fooled_at_equal_recall(ours, theirs, recall=.25) == (0, 2, .25)
    assert fooled_at_equal_recall(ours, marked((.9, 'fooled'))) == (0, 0, 0.)


def test_labels_of_an_object_are_those_of_its_pair():
    objects = [record(1, LEFT), record(2, RIGHT), record(3, AWAY), record(4, LEFT, image=2)]
    found = [record(1, LEFT, .6), record(2, LEFT, .7), record(3, LEFT, .9), record(2, RIGHT, .5),
             record(4, LEFT, .4, image=2), record(4, [0, 0, 10, 9], .3, image=2)]
    labels = labels_of_objects(objects, found, [(1, 2), (3, 4)])
    assert (labels.objects, labels.one, labels.some) == (4, .25, .75)
    assert (labels.right, labels.best) == (.25, .5)
    assert labels_of_objects([], found, [(1, 2)]).objects == 0


def test_records_have_the_ids_of_the_file(tmp_path):
    content = dict(images=[dict(id=i, file_name=f'{i}.jpg', width=9, height=9) for i in (7, 8)],
                   annotations=[], categories=[dict(id=5, name='dax'), dict(id=6, name='cup')])
    (tmp_path / 'a.json').write_text(json.dumps(content))
    found = Detections(np.array([[0, 0, 2, 4], [1, 1, 2, 2]], np.float32),
                       np.array([.5, .25], np.float32), np.array([1, 0]), ('other', 'cup'), (9, 9))
    records = as_records([found[:0], found], read_coco_json(tmp_path / 'a.json'))
    assert records == [dict(image_id=8, category_id=6, bbox=[0, 0, 2, 4], score=.5)]


# -- verdicts -------------------------------------------------------------------------------------


SCORED = dict(error=dict(before=.2, after=.1), f1=dict(single=.6, per_class=.7))


def outcome(**changes):
    """Results of two seeds with every bar met, but for the changes: unit -> key -> value."""
    labels = dict(objects=9, one=.95, some=.96, right=.8, best=.8)
    units = {
        'tune': dict(AP=.8, AP50=.9, zero_shot=.1, passes=12, minutes=2),
        **{f'learn-{n}': dict(AP=.78, AP50=.9, seconds=50, steps=70, start_AP=.5, start_AP50=.6,
                              start_seconds=2, start_steps=0) for n in SHOTS},
        'mixed': dict(words=dict(alone=.7, mixed=.697), exemplars=.75,
                      elsewhere=dict(before=.9, after=.9, with_task=.9)),
        'negatives': {'without': 10, 'with': 5, 'recall': .8, 'found_without': 1.,
                      'found_with': .9, 'AP_without': .5, 'AP_with': .6},
        'calibration': dict(names=SCORED, exemplars=SCORED),
        'pairs': dict(free=dict(labels, one=.3, right=.2), exclusive=labels)}
    for unit, values in changes.items():
        units[unit.replace('_', '-')] |= values
    return {f'{unit}-{seed}': values for unit, values in units.items() for seed in (0, 1)}


def verdicts(**changes):
    rows = judge('shapes', outcome(**changes), CLAIMS, (0, 1))
    return [row['verdict'] for row in rows if row['verdict'] != 'reported']


def test_all_bars_can_be_met():
    assert verdicts() == ['met'] * 9
    rows = judge('shapes', outcome(), [1], (0, 1))
    assert rows[-1]['measured'] == '98 ± 0 % (AP 78.0 ± 0.0; training-free 50.0 ± 0.0)'
    assert judge('shapes', outcome(), [5], (0, 1))[0]['measured'].startswith('99.0 ± 0.0 % (95.0')


@pytest.mark.parametrize('place, changes', [
    (0, dict(learn_5=dict(AP=.75))), (1, dict(mixed=dict(words=dict(alone=.7, mixed=.69)))),
    (2, dict(mixed=dict(elsewhere=dict(before=.9, after=.9001, with_task=.9)))),
    (2, dict(mixed=dict(elsewhere=dict(before=.9, after=.9, with_task=.8999)))),
    (3, dict(negatives={'with': 6})), (3, dict(negatives={'without': 0, 'with': 0})),
    (4, dict(calibration=dict(names=dict(SCORED, error=dict(before=.2, after=.11))))),
    (5, dict(calibration=dict(names=dict(SCORED, f1=dict(single=.7, per_class=.7))))),
    (7, dict(calibration=dict(exemplars=dict(SCORED, f1=dict(single=.7, per_class=.7))))),
    (8, dict(pairs=dict(exclusive=dict(one=.9, some=.96, right=.8, best=.8))))])
def test_each_bar_can_be_missed(place, changes):
    found = verdicts(**changes)
    assert found[place] == 'missed' and found.count('missed') == 1


def test_scores_have_a_row_for_each_way():
    rows = score_rows('shapes', outcome(), (0, 1))
    assert len(rows) == 2 * (1 + 2 * len(SHOTS))
    assert rows[0]['learned by'] == 'prompt tuning, 5 pictures' and rows[0]['seconds'] == 120
    assert not score_rows('shapes', {'pairs-0': {}}, (0, ))


# -- the command ----------------------------------------------------------------------------------


def test_units_of_claims(tmp_path):
    setup = exemplars.make_setup(arguments(tmp_path), 'stamps')

    def names(*claims):
        return [unit.name for unit in plan_units(setup, claims, (0, ))]

    assert names(5) == ['stamps pairs-0']
    assert names(3) == ['stamps learn-1-0', 'stamps negatives-0']
    assert len(names(*CLAIMS)) == 8 and names(1)[0] == 'stamps tune-0'
    assert all(unit.seconds > 0 for unit in plan_units(setup, CLAIMS, (0, 1)))


def test_what_results_depend_on(tmp_path):
    def facts(*words):
        return exemplars.make_setup(arguments(tmp_path, *words), 'shapes').identity()

    assert facts() == facts('--seeds', '7', '--stamps', 'x', '--claims', '1')
    assert facts() != facts('--seconds', '5') and facts() != facts('--max-passes', '5')


@pytest.mark.parametrize('words', [('--seeds', '1', '1'), ('--seconds', '0'), ('--max-passes', '0'),
                                   ('--pictures', '0', '1', '1', '1', '1', '1', '1')])
def test_impossible_numbers_are_refused(tmp_path, words):
    with pytest.raises(UserError):
        exemplars.run(arguments(tmp_path / 'out', *words))
    assert not (tmp_path / 'out').exists()
    with pytest.raises(UserError, match='--out'):
        exemplars.run(arguments(None))


@pytest.mark.slow
def test_a_small_run_resumes(tmp_path):
    words = ('--worlds', 'shapes', '--seeds', '0', '--seconds', '2', '--max-passes', '1',
             '--pictures', '6', '2', '2', '2', '6', '2', '6')
    content = exemplars.run(arguments(tmp_path, *words))
    assert [row['claim'] for row in content['rows']] == sorted(
        row['claim'] for row in content['rows'])
    assert {row['claim'] for row in content['rows']} == set(CLAIMS)
    assert len(content['scores']) == 1 + 2 * len(SHOTS)
    assert set(content['units']) == {'shapes'} and len(content['units']['shapes']) == 8
    elsewhere = content['units']['shapes']['mixed-0']['elsewhere']
    assert elsewhere['before'] == elsewhere['after'] == elsewhere['with_task']
    assert 'passes: 1 at most, and 2 further pictures' in content['notes'][1]
    again = exemplars.run(arguments(tmp_path, *words))
    assert again['units'] == content['units']
    with pytest.raises(UserError, match='seconds'):
        exemplars.run(arguments(tmp_path, *words[:-8], '--seconds', '3', *words[-8:]))
