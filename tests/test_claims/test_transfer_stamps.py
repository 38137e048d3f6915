"""Few shots on photographs: rows and bars on hand-worked numbers, settings, and a small run."""
from __future__ import annotations

import argparse
import json

import pytest

from glipkit.claims import transfer, transfer_stamps
from glipkit.claims.transfer_stamps import SHOTS, Setup, judge, read_scores, score_rows
from glipkit.data.splits.odinw import OdinwDataset
from glipkit.errors import UserError
from glipkit.odinw.scoreboard import odinw_scoreboard


def arguments(out, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    transfer.add_arguments(parser)
    args = parser.parse_args(['--world', 'stamps', *words])
    args.out = out
    return args


def seeds(*points):
    return [{'AP': point / 200, 'AP50': point / 100} for point in points]


def outcome(*means):
    """Shots -> scores of two tasks, ten points apart around a mean; two seeds four points apart."""
    return {shots: {'birds': seeds(mean - 5) if not shots else seeds(mean - 7, mean - 3),
                    'fish': seeds(mean + 5) if not shots else seeds(mean + 3, mean + 7)}
            for shots, mean in zip((0, *SHOTS), means)}


def test_rows_are_means_over_tasks_and_then_seeds():
    rows = judge(outcome(25, 30, 40, 50, 60))
    assert rows[0] == {'line': 'zero-shot', 'AP50': '25.0', 'AP': '12.5'}
    assert rows[1] == {'line': '1 shot', 'AP50': '30.0 ± 2.0', 'AP': '15.0 ± 1.0'}
    assert [row['verdict'] for row in rows[5:]] == ['met', 'met']
    assert rows[6]['measured'] == '25.0, 30.0, 40.0, 50.0, 60.0'
    assert score_rows(outcome(25, 30, 40, 50, 60))[1] == {
        'task': 'fish', 'zero-shot': '30.0', '1 shot': '35.0 ± 2.0', '3 shots': '45.0 ± 2.0',
        '5 shots': '55.0 ± 2.0', '10 shots': '65.0 ± 2.0'}


@pytest.mark.parametrize('means, verdicts', [
    ((24.9, 30, 40, 50, 60), ['missed', 'met']), ((30, 29, 40, 50, 60), ['met', 'missed']),
    ((30, 40, 50, 60, 60), ['met', 'missed'])])
def test_bars(means, verdicts):
    assert [row['verdict'] for row in judge(outcome(*means))[5:]] == verdicts


def setup(tmp_path, **changes):
    weights = tmp_path / 'weights'
    weights.write_text('w')
    return Setup(**{**dict(folder=tmp_path / 'run', model='m', checkpoint=weights,
                           pictures=(2, 1), tasks=(), seeds=(3, 30), max_passes=4, device='cpu'),
                    **changes})


def test_settings_of_the_runs(tmp_path):
    one = setup(tmp_path)
    assert one.settings(0).strategy == 'zero-shot' and not one.settings(0).options
    tuned = one.settings(5)
    assert (tuned.strategy, tuned.shots, tuned.seeds) == ('prompt', 5, (3, 30))
    assert tuned.options == {'schedule.max_epochs': 4} and tuned.out != one.settings(1).out
    assert setup(tmp_path, max_passes=None).settings(5).options == {}
    # Tasks may be added to a run; other weights make another one.
    assert one.identity() == setup(tmp_path, tasks=('birds', ), device='cuda').identity()
    before = one.identity()
    one.checkpoint.write_text('other')
    assert one.identity() != before


def test_scores_come_from_what_the_runs_left(tmp_path):
    one = setup(tmp_path)
    for shots, path, content in (
            (0, 'zero_shot.json', {'AP': .1, 'AP50': .2, 'AR': 1}),
            (1, 'seed_3/result.json', {'scores': {'test': {'AP': .3, 'AP50': .4}}}),
            (1, 'seed_30/result.json', {'scores': {'test': {'AP': .5, 'AP50': .6}}})):
        file = one.settings(shots).out / 'birds' / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    assert read_scores(one.settings(0), 'birds') == [{'AP': .1, 'AP50': .2}]
    assert read_scores(one.settings(1), 'birds') == [{'AP': .3, 'AP50': .4}, {'AP': .5, 'AP50': .6}]


def test_a_run_asks_for_all_shots_and_names_what_cannot_be_done(tmp_path, monkeypatch):
    asked = []

    def run_odinw(settings):
        asked.append(settings.shots)
        for name in ('birds', 'fish'):
            scores = {'AP': .1 * len(asked), 'AP50': .15 * len(asked)}
            for path, content in (('zero_shot.json', scores),
                                  ('seed_3/result.json', {'scores': {'test': scores}})):
                file = settings.out / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(content))
        every = [OdinwDataset(name, f'animals/{name}', ('a', ), {}, {}, 'test')
                 for name in ('birds', 'fish', 'tools')]
        board = odinw_scoreboard('world', {'birds': .1, 'fish': .1}, None, every)
        return board, broken

    broken = {}
    (weights := tmp_path / 'weights').write_text('w')
    monkeypatch.setattr(transfer_stamps, 'run_odinw', run_odinw)
    monkeypatch.setattr(transfer_stamps, 'checkpoint_for', lambda model, given: weights)
    monkeypatch.setattr(transfer_stamps.stamps, 'build', lambda *args, **kwargs: None)
    result = transfer.run(arguments(tmp_path / 'out', '--seeds', '3'))
    assert asked == [None, *SHOTS]
    assert [row['verdict'] for row in result['rows'][-2:]] == ['missed', 'met']
    assert set(result['units']['10']) == {'animals/birds', 'animals/fish'}
    assert '75.0' in (tmp_path / 'out/transfer-scores.md').read_text()
    broken['animals/tools'] = 'no picture'
    with pytest.raises(UserError, match='animals/tools: no picture'):
        transfer.run(arguments(tmp_path / 'out', '--seeds', '3'))
    with pytest.raises(UserError, match='positive'):
        transfer.run(arguments(tmp_path / 'other', '--world-pictures', '0', '1'))
    assert not (tmp_path / 'other').exists()
