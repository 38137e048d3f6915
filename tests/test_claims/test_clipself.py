"""The CLIPSelf benchmark: verdicts on hand-made numbers, a tiny whole run."""
from __future__ import annotations

import argparse

import pytest
from mmengine.config import Config

from glipkit.benchmarks.results import document, to_markdown
from glipkit.claims import clipself, clipself_units
from glipkit.claims.clipself_units import ALPHAS, DETECTORS, DISTILLATIONS, plan_units
from glipkit.claims.clipself_verdicts import judge, score_rows
from glipkit.errors import UserError

TINY = ('--clip-iters', '2', '--cnn-iters', '2', '--grid-iters', '2', '--proposal-iters', '2',
        '--shuffled-iters', '2', '--detector-iters', '2', '--pictures', '4', '3', '--seeds', '1',
        '--no-photographs')


def arguments(out, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    clipself.add_arguments(parser)
    args = parser.parse_args(words)
    args.out = out
    return args


# -- setup ----------------------------------------------------------------------------------------


def test_seeds_are_no_settings_but_iterations_are(tmp_path):
    def facts(*words):
        return clipself.make_setup(arguments(tmp_path, *words)).identity()

    assert facts() == facts('--seeds', '7')
    assert facts() != facts('--grid-iters', '7') and facts() != facts('--no-photographs')


@pytest.mark.parametrize('words', [('--seeds', '3', '3'), ('--pictures', '0', '1'),
                                   ('--stamp-iters', '0')])
def test_impossible_numbers_are_refused(tmp_path, words):
    with pytest.raises(UserError):
        clipself.run(arguments(tmp_path / 'out', *words))
    assert not (tmp_path / 'out').exists()


def test_units_of_a_seed(tmp_path):
    setup = clipself.make_setup(arguments(tmp_path))
    names = [unit.name for unit in plan_units(setup, [4])]
    assert names == ['vit-4', *(f'{name}-4' for name in DISTILLATIONS), 'ensemble-4',
                     *(f'fvit-{name}-4' for name in DETECTORS), 'cnn-4', 'photographs-4']


# -- verdicts -------------------------------------------------------------------------------------


def outcomes(before=.03, after=.5, shuffled=1 / 64, novel=.3, base=.5, pixels=.1, seeds=(0, 1)):
    """Results of seeds that differ by a hundredth."""
    found = {}
    for seed in seeds:
        def tower(regions, retrieval, miou, crops=.8, seed=seed):
            return {'regions': dict.fromkeys(('small', 'large', 'all'), regions + seed / 100),
                    'crops': {'all': crops}, 'retrieval': retrieval, 'centred cosine': .5,
                    'names': 42, 'boxes': 781, 'pixels': {'segment/miou': miou}}

        found[f'vit-{seed}'] = {**tower(before, .02, .05), 'attended': {'all': .02}}
        found[f'cnn-{seed}'] = {'crops': {'all': .9}, 'regions': {'all': .8}}
        for name in ('grid', 'proposals'):
            found[f'{name}-{seed}'] = tower(after, .3, pixels)
        found[f'shuffled-{seed}'] = {**tower(.02, shuffled, .02), 'centred cosine': -.1}
        found[f'ensemble-{seed}'] = {'alphas': {
            f'{alpha:g}': tower(alpha / 2, .3, .1, 1 - alpha) for alpha in ALPHAS}}
        for kind, gain in (('plain', 0), ('grid', novel), ('distilled', novel)):
            found[f'fvit-{kind}-{seed}'] = {'coco/novel_AP50': .1 + gain + seed / 100,
                                            'coco/base_AP50': base if gain else .5}
        found[f'photographs-{seed}'] = {'before': tower(.05, .02, .04),
                                        'after': tower(.3, .1, 2 * pixels)}
    return found


def verdicts(**changes):
    rows = judge(outcomes(**changes), [0, 1])
    return {row['comparison']: row['verdict'] for row in rows if row['bar']}


def missed(**changes):
    return [what for what, verdict in verdicts(**changes).items() if verdict == 'missed']


def test_bars_are_met_and_missed():
    assert set(verdicts().values()) == {'met'} and len(verdicts()) == 10
    for changes, what, count in ((dict(before=.05), 'image transformer', 1),
                                 (dict(after=.38), 'distilled from', 2),
                                 (dict(shuffled=.03), 'crops shuffled', 1),
                                 (dict(novel=.004), 'novel names', 2),
                                 (dict(base=.47), 'base names', 2),
                                 (dict(pixels=.09), 'mean IoU', 1)):
        found = missed(**changes)
        assert len(found) == count and all(what in one for one in found)


def test_rows_say_what_was_measured():
    rows = {row['comparison']: row['measured'] for row in judge(outcomes(), [0, 1])}
    assert rows['CNN: top-1 of crops and of regions of the map'] == '90.0 ± 0.0 and 80.0 ± 0.0'
    control = next(found for what, found in rows.items() if 'crops shuffled' in what)
    assert control == '1.6 ± 0.0; -0.10 ± 0.00 and 0.50 ± 0.00'
    curve = next(found for what, found in rows.items() if what.startswith('weights between'))
    assert curve.split('; ') == [f'{50 * alpha + .5:.1f} ± 0.5' for alpha in ALPHAS]
    novel = next(found for what, found in rows.items() if 'novel' in what)
    assert novel == '10.5 ± 0.5 and 40.5 ± 0.5; 30.0 ± 0.0'
    assert score_rows(outcomes(seeds=[0]))[0] == {
        'unit': 'vit-0', 'regions small': 3.0, 'regions large': 3.0, 'regions all': 3.0,
        'crops all': 80.0}


# -- the whole ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tiny_run_is_kept_and_resumed(tmp_path, monkeypatch):
    # mmengine lays out every config four times, for longer than two iterations take.
    monkeypatch.setattr(Config, 'pretty_text', property(lambda cfg: '# not laid out'))
    monkeypatch.setattr(clipself_units, 'ALPHAS', (0., 1.))
    args = arguments(tmp_path / 'out', *TINY)
    content = clipself.run(args)
    setup = clipself.make_setup(args)
    assert len(content['units']) == len(plan_units(setup, [1])) == 9
    assert (tmp_path / 'out/clipself.png').stat().st_size > 10_000
    assert 'F-ViT' in to_markdown(document('clipself', [], content))
    before = {path: path.stat().st_mtime_ns for path in setup.folder.rglob('*.safetensors')}
    setup.result('grid', 1).unlink()  # as a kill between training and scores leaves it
    again = clipself.run(args)
    assert again['units'] == content['units']
    assert before == {path: path.stat().st_mtime_ns for path in before}
    with pytest.raises(UserError, match='another'):
        clipself.run(arguments(tmp_path / 'out', *TINY, '--grid-iters', '3'))
