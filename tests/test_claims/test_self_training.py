"""The self-training benchmark: counts and verdicts on hand-made numbers, and a tiny whole run."""
from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from glipkit.apis.config_parts import type_name
from glipkit.apis.index import shipped_weights
from glipkit.apis.training import load_config
from glipkit.benchmarks.results import document, to_markdown
from glipkit.claims import self_training, self_training_units
from glipkit.claims.self_training_units import (
    BASES,
    Setup,
    count_right,
    held_out_words,
    make_world,
    plan_units,
)
from glipkit.claims.self_training_verdicts import COMPARISONS, judge, score_rows
from glipkit.errors import UserError
from glipkit.labelling import LabelSettings
from glipkit.testing.toy_stamps import draw_toy_stamps
from glipkit.worlds.shape_vocabulary import splits

TINY = ('--teacher-iters', '2', '--pairs', '4', '--pictures', '6', '2')


def arguments(out, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    self_training.add_arguments(parser)
    args = parser.parse_args(words)
    args.out = out
    return args


# -- setup ----------------------------------------------------------------------------------------


def test_defaults_follow_from_the_world(tmp_path):
    shapes, stamps = (self_training.make_setup(arguments(tmp_path, '--world', world))
                      for world in ('shapes', 'stamps'))
    assert (shapes.teacher_iters, shapes.student_iters) == (1300, 650)
    assert (shapes.gold_pictures, shapes.pairs, shapes.val_pictures) == (4000, 4000, 200)
    assert (stamps.gold_pictures, stamps.pairs, stamps.val_pictures) == (1200, 1200, 200)
    # Unknown words take what known ones leave over in the stamps world alone, and nothing twice.
    assert shapes.labels == LabelSettings(score=.4)
    assert stamps.labels == LabelSettings(score=.4, leftover=.05, cross_nms=.5)
    off = self_training.make_setup(arguments(tmp_path, '--world', 'stamps', '--leftover', '1'))
    assert off.labels == LabelSettings(score=.4)
    for words, iters in ((('31', ), 15), (('2', ), 2), (('31', '--student-iters', '40'), 40)):
        setup = self_training.make_setup(arguments(tmp_path, '--teacher-iters', *words))
        assert setup.student_iters == iters


def test_seeds_and_places_are_no_settings(tmp_path):
    def facts(*words):
        return self_training.make_setup(arguments(tmp_path, *words)).identity()

    assert facts() == facts('--seeds', '7', '--device', 'cuda')
    assert facts() != facts('--leftover', '.1')
    assert facts() != facts('--pairs', '7') and facts() != facts('--world', 'stamps')


@pytest.mark.parametrize('words', [('--seeds', '3', '3'), ('--seeds', '-1'), ('--pairs', '0'),
                                   ('--pictures', '0', '1'), ('--teacher-iters', '1'),
                                   ('--student-iters', '1'), ('--stamps', 'x')])
def test_impossible_numbers_are_refused(tmp_path, words):
    with pytest.raises(UserError):
        self_training.run(arguments(tmp_path / 'out', *words))
    assert not (tmp_path / 'out').exists()
    with pytest.raises(UserError, match='--out'):
        self_training.run(arguments(None))


@pytest.mark.parametrize('world', ['shapes', 'stamps'])
def test_configs_differ_from_the_mixed_model_in_data_alone(world):
    base = f'configs/glip/{BASES[world]}_{world}'
    mixed, teacher, continued, student = (
        load_config(f'{base}{what}.py')
        for what in ('', '_teacher', '_continued', '_student'))
    # The mixed model of photographs looks closer.
    mixed.test_evaluator.pop('shown_above')
    for cfg in (mixed, teacher, continued, student) if world == 'stamps' else ():
        cfg.test_dataloader.dataset.pop('pipeline')
    for cfg in (teacher, continued, student):
        for part in ('model', 'param_scheduler', 'optim_wrapper', 'custom_hooks', 'data_root',
                     'train_cfg', 'test_dataloader', 'test_evaluator'):
            assert cfg[part] == mixed[part], part
    gold = mixed.train_dataloader.dataset.datasets[0]
    assert gold.data_root == mixed.data_root == f'data/{world}/'
    for cfg in (teacher, continued):
        assert cfg.train_dataloader.dataset.datasets == [gold]
    ours, pseudo = student.train_dataloader.dataset.datasets
    assert ours == gold and student.train_dataloader.dataset.weights == [1, 1]
    assert type_name(pseudo) == 'CaptionShards' and pseudo.data_root == mixed.data_root
    # The benchmark names the shards, wherever they stand in the list.
    moved = load_config(f'{base}_student.py')
    moved.train_dataloader.dataset.datasets.reverse()
    self_training_units.use_labels(moved, Path('/shards'), .7)
    assert moved.train_dataloader.dataset.datasets == [
        {**pseudo, 'ann_file': '/shards', 'score_thr': .7}, gold]
    with pytest.raises(UserError, match='CaptionShards'):
        self_training_units.use_labels(teacher, Path('/shards'), .7)


@pytest.mark.parametrize('world', ['shapes', 'stamps'])
def test_student_and_gold_only_differ_in_pseudo_labels_alone(world):
    teacher, continued, student = (load_config(f'configs/glip/{BASES[world]}_{world}_{what}.py')
                                   for what in ('teacher', 'continued', 'student'))
    assert continued.load_from == student.load_from
    own = continued.train_dataloader.dataset.pipeline
    assert student.train_dataloader.dataset.pipeline == own
    differences = [(a, b) for a, b in zip(teacher.train_dataloader.dataset.pipeline, own)
                   if a != b]
    assert [(a, {**a, 'leave_out_prob': .5}) for a, _ in differences] == differences
    # The prompts of photographs leave classes out from the start.
    assert len(differences) == (world == 'shapes')


def test_stamps_of_a_world_stay_the_same(tmp_path):
    toys = draw_toy_stamps(tmp_path / 'toys')
    setup = Setup(tmp_path / 'run', 'stamps', 2, 2, 2, 1, 1, .4)
    make_world(setup, toys)
    before = (setup.data / 'manifest.json').stat().st_mtime_ns
    make_world(setup, toys)
    make_world(setup)  # needs no stamps any more
    assert (setup.data / 'manifest.json').stat().st_mtime_ns == before
    (toys / 'food/fruit/plum.png').unlink()
    with pytest.raises(UserError, match='begun with'):
        make_world(setup, toys)


# -- pseudo-labels --------------------------------------------------------------------------------


def test_held_out_words_of_the_shapes_world():
    assert held_out_words(splits().names()) == {'pink', 'pinks', 'heart', 'hearts'}


def test_right_boxes_are_counted_with_and_without_held_out_words():
    caption = 'a red star and two hearts'
    truth = {'1.jpg': {'caption': caption, 'regions': [
        {'bbox': [0, 0, 10, 10], 'tokens_positive': [[2, 10]]},
        {'bbox': [[20, 20, 30, 30], [40, 40, 50, 50]], 'tokens_positive': [[19, 25]]}]}}

    def region(begin, end, *boxes):
        return {'phrase': caption[begin:end], 'tokens_positive': [[begin, end]],
                'bbox': list(map(list, boxes))}

    record = {'filename': '1.jpg', 'grounding': {'caption': caption, 'regions': [
        region(2, 10, (0, 0, 10, 9), (20, 20, 30, 30)),  # right, and on a heart
        region(19, 25, (20, 20, 30, 30), (41, 40, 50, 50), (0, 0, 10, 10))]}}
    assert count_right([record], truth, {'heart', 'hearts'}) == {
        'all': {'boxes': 5, 'right': 3}, 'held_out': {'boxes': 3, 'right': 2}}
    assert count_right([], truth, {'heart'})['all'] == {'boxes': 0, 'right': 0}


# -- verdicts -------------------------------------------------------------------------------------


def outcomes(**models):
    """Results of two seeds from (caption_only, seen, unseen) points of AP50 of each."""
    results = {}
    for model, both in models.items():
        for seed, scores in enumerate(both):
            results[f'{model.replace("_", "-")}-{seed}'] = {'metrics': {
                f'coco/{group}_AP50': score / 100
                for group, score in zip(('caption_only', 'seen', 'unseen'), scores)}}
    for seed, right in enumerate((8, 6)):
        results[f'pseudo-{seed}'] = {'all': {'boxes': 10, 'right': right},
                                     'held_out': {'boxes': 4 * seed, 'right': seed}}
    return results


TEACHER = [(2, 60, 50), (4, 62, 40)]


def test_rows_of_models_and_labels():
    results = outcomes(teacher=TEACHER, gold_only=TEACHER, student=[(10, 60, 50), (20, 62, 40)])
    rows = judge(results, [0, 1])
    assert rows[0] == {'line': 'teacher, AP50', 'held-out words': '3.0 ± 1.0',
                       'base words, seen': '61.0 ± 1.0', 'base words, unseen': '45.0 ± 5.0'}
    assert rows[2]['held-out words'] == '15.0 ± 5.0'
    assert rows[3]['measured'] == '70.0 ± 10.0 % of 10 boxes'
    assert rows[4]['measured'].endswith('of 2 boxes')
    assert len(rows) == 3 + 2 + len(COMPARISONS)
    assert score_rows(results, [1])[2] == {
        'seed': 1, 'model': 'student', 'held-out words': 20., 'base words, seen': 62.,
        'base words, unseen': 40.}


@pytest.mark.parametrize('student, gold_only, verdicts', [
    # Mean gains of the student: 12, 0, 0; of gold-only 0.
    ([(10, 60, 50), (20, 62, 40)], TEACHER, ['met', 'met', 'met', 'met']),
    # 4.5, -2, -1; gold-only 5.
    ([(7, 58, 48), (8, 60, 40)], [(7, 60, 50), (9, 62, 40)], ['missed', 'missed', 'met', 'missed']),
    # 5, -1, -1.5; gold-only -1: the mean counts, not every seed.
    ([(2, 60, 50), (14, 60, 37)], [(1, 0, 0), (3, 0, 0)], ['met', 'met', 'missed', 'met'])])
def test_gains_against_their_bars(student, gold_only, verdicts):
    results = outcomes(teacher=TEACHER, student=student, gold_only=gold_only)
    rows = judge(results, [0, 1])[5:]
    assert [row['verdict'] for row in rows] == verdicts
    assert [row['bar'] for row in rows] == ['>= 5', '>= -1', '>= -1', '< 5']
    reported = judge(results, [0, 1], ['caption_only'])[5:]
    assert [row['measured'] for row in reported] == [row['measured'] for row in rows]
    assert [row['verdict'] for row in reported] == [
        verdicts[0], 'reported', 'reported', verdicts[3]]
    assert reported[1]['bar'] == ''


def test_seeds_of_a_gain_are_told():
    results = outcomes(teacher=TEACHER, gold_only=TEACHER, student=[(10, 60, 50), (20, 60, 40)])
    rows = judge(results, [0, 1])
    assert rows[5]['line'] == 'student − teacher, held-out words'
    assert rows[5]['measured'] == '12.0 ± 4.0 (+8.0, +16.0)'
    assert judge(results, [1])[6]['measured'] == '-2.0 ± 0.0 (-2.0)'


def test_nothing_to_find_meets_no_bar():
    nothing = [(-100, -100, -100)] * 2  # AP50 -1
    rows = judge(outcomes(teacher=nothing, gold_only=nothing, student=nothing), [0, 1])
    assert rows[0]['held-out words'] == 'nan ± nan'
    assert {row['verdict'] for row in rows[5:]} == {'missed'}
    assert score_rows(outcomes(teacher=nothing, gold_only=nothing, student=nothing), [0])[0] == {
        'seed': 0, 'model': 'teacher', 'held-out words': None, 'base words, seen': None,
        'base words, unseen': None}


# -- work -----------------------------------------------------------------------------------------


def test_each_seed_has_four_units_in_order(tmp_path):
    jobs = plan_units(self_training.make_setup(arguments(tmp_path)), [2, 0])
    assert [job.name for job in jobs] == [
        f'{unit}-{seed}' for seed in (2, 0)
        for unit in ('teacher', 'pseudo', 'student', 'gold-only')]
    assert jobs[0].seconds > jobs[2].seconds == jobs[3].seconds > 0


@pytest.mark.slow
def test_a_whole_run_and_its_resume(tmp_path):
    args = arguments(tmp_path, *TINY, '--seeds', '5')
    folder = tmp_path / 'self-training'
    # Two iterations teach no teacher to be sure of a box: the run ends, and keeps what it did.
    with pytest.raises(UserError, match='teacher 5 was sure of no box'):
        self_training.run(args)
    units, models = folder / 'units', folder / 'models'
    assert sorted(path.name for path in units.iterdir()) == ['pseudo-5.json', 'teacher-5.json']
    assert not list(models.rglob('*.pth'))
    # From here on with a better teacher, as if it had been killed before the teacher was scored.
    shutil.copy(shipped_weights('glip-mini'), models / 'teacher-5.safetensors')
    shutil.rmtree(units)
    shutil.rmtree(folder / 'pseudo')
    result = self_training.run(args)
    assert set(result['units']) == {'teacher-5', 'pseudo-5', 'student-5', 'gold-only-5'}
    assert result['units']['pseudo-5']['all']['boxes'] > 0
    assert 'student − teacher' in to_markdown(document('self-training', [], result))
    _check_models(models)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()
             if path.suffix != '.lock'}
    again = self_training.run(args)
    assert again == result
    assert times == {path: path.stat().st_mtime_ns for path in times}
    with pytest.raises(UserError, match='other settings'):
        self_training.run(arguments(tmp_path, *TINY, '--pairs', '5'))


def _check_models(folder):
    """Student and gold-only are the teacher, moved a little, each in its own way."""
    teacher, student, gold = (load_file(folder / f'{model}-5.safetensors')
                              for model in ('teacher', 'student', 'gold-only'))
    for state in (student, gold):
        assert state.keys() == teacher.keys()
        # But for the statistics of batches, which one batch moves far.
        assert all((value.float() - teacher[key].float()).abs().max() < .01
                   for key, value in state.items()
                   if value.is_floating_point() and '.running_' not in key)
    for one, other in ((student, teacher), (gold, teacher), (student, gold)):
        assert any(not torch.equal(value, other[key]) for key, value in one.items())
    # The oldest log is of the training, the next of the scoring.
    configs = {model: load_config(min((folder / f'{model}-5').glob('*/vis_data/config.py')))
               for model in ('teacher', 'student', 'gold-only')}
    assert {cfg.randomness.seed for cfg in configs.values()} == {5}
    assert not configs['teacher'].load_from
    for model in ('student', 'gold-only'):
        assert configs[model].load_from == str(folder / 'teacher-5.safetensors')
    shards, = [data.ann_file for data in configs['student'].train_dataloader.dataset.datasets
               if type_name(data) == 'CaptionShards']
    manifest = json.loads((folder.parent / 'pseudo/5/manifest.json').read_text())
    assert shards == str(folder.parent / 'pseudo/5') and manifest['settings']['score'] == .4
