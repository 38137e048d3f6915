"""The RegionCLIP benchmark: boxes, scores and verdicts on hand-made numbers, a tiny whole run."""
from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config

from glipkit.apis.training import load_config
from glipkit.benchmarks.results import document, to_markdown
from glipkit.claims import region_clip
from glipkit.claims.region_clip_boxes import NoisyBoxes
from glipkit.claims.region_clip_scores import Things, read_towers, region_ranks
from glipkit.claims.region_clip_units import CLIP, EXPERIMENTS, VARIANTS, plan_units, start_of
from glipkit.claims.region_clip_verdicts import judge, score_rows
from glipkit.common.boxes import box_iou
from glipkit.errors import UserError
from glipkit.models.pretrainers.region_clip import LOSSES
from glipkit.testing.toy_stamps import draw_toy_stamps
from glipkit.worlds import things

TINY = ('--clip-iters', '2', '--region-iters', '2', '--transfer-iters', '2', '--stamp-iters', '2',
        '--pictures', '4', '3', '--seeds', '1')


def arguments(out, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    region_clip.add_arguments(parser)
    args = parser.parse_args(words)
    args.out = out
    return args


# -- setup ----------------------------------------------------------------------------------------


def test_seeds_and_places_are_no_settings(tmp_path):
    def facts(*words):
        return region_clip.make_setup(arguments(tmp_path, *words)).identity()

    assert facts() == facts('--seeds', '7')
    assert facts() != facts('--region-iters', '7') and facts() != facts('--no-photographs')


@pytest.mark.parametrize('words', [('--seeds', '3', '3'), ('--pictures', '0', '1'),
                                   ('--clip-iters', '0')])
def test_impossible_numbers_are_refused(tmp_path, words):
    with pytest.raises(UserError):
        region_clip.run(arguments(tmp_path / 'out', *words))
    assert not (tmp_path / 'out').exists()


def test_units_of_a_seed(tmp_path):
    setup = region_clip.make_setup(arguments(tmp_path, '--no-photographs'))
    names = [unit.name for unit in plan_units(setup, [4])]
    assert names == ['clip-4', *(f'{name}-4' for name in EXPERIMENTS),
                     *(f'transfer-{name}-4' for name in VARIANTS)]
    assert all(set(plan.losses) <= set(LOSSES) for plan in EXPERIMENTS.values())


# -- boxes ----------------------------------------------------------------------------------------


@pytest.fixture
def one_thing(tmp_path):
    path = tmp_path / 'det.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=5, file_name='5.jpg', width=192, height=192)],
        categories=[dict(id=1, name='red star')],
        annotations=[dict(id=1, image_id=5, category_id=1, bbox=[40, 60, 40, 30])])))
    return str(path)


def ask(source, image_id=5, flip=False, side=96):
    sample = DetDataSample(metainfo=dict(img_id=image_id, img_shape=(side, side), flip=flip))
    return source(torch.zeros(1, 3, side, side), [sample])[0]


def test_boxes_lie_around_things_and_their_logits_tell_how_well(one_thing):
    source = NoisyBoxes(one_thing, (192, 192), near=200, anywhere=200)
    found = ask(source)
    truth = np.array([[20., 30, 40, 45]])
    overlap = box_iou(found.bboxes.numpy(), truth).max(1)
    assert (overlap[:200] > .3).mean() > .9 and (overlap[200:] < .3).mean() > .9
    assert np.corrcoef(overlap, found.logits.numpy())[0, 1] > .8
    assert float(found.bboxes.min()) >= 0 and float(found.bboxes.max()) <= 96


def test_boxes_are_the_same_each_time_and_move_with_the_picture(one_thing):
    source = NoisyBoxes(one_thing, (192, 192))
    plain, again, mirrored = ask(source), ask(source), ask(source, flip=True)
    assert torch.equal(plain.bboxes, again.bboxes) and torch.equal(plain.logits, again.logits)
    expected = torch.stack([96 - plain.bboxes[:, 2], plain.bboxes[:, 1],
                            96 - plain.bboxes[:, 0], plain.bboxes[:, 3]], 1)
    torch.testing.assert_close(mirrored.bboxes, expected)
    assert not torch.equal(ask(NoisyBoxes(one_thing, (192, 192), seed=1)).bboxes, plain.bboxes)
    assert len(ask(source, image_id=6).bboxes) == source.anywhere, 'a picture without things'


# -- scores ---------------------------------------------------------------------------------------


def test_regions_of_a_picture_twice_as_large_are_those_of_a_larger_picture(tmp_path):
    from glipkit.apis.build import build_model
    from glipkit.checkpoints import save_checkpoint
    things.build(tmp_path / 'world', num_train_det=1, num_train_grd=1, num_val=2, workers=1)
    torch.manual_seed(0)
    model = build_model(load_config(CLIP)).train()
    model.backbone.embed_image(torch.randn(4, 3, 64, 64))
    save_checkpoint(model, tmp_path / 'clip.safetensors')
    towers = read_towers(load_config(CLIP), tmp_path / 'clip.safetensors')
    truth = Things.read(tmp_path / 'world')
    assert len(truth.all_labels()) == len(truth.sides()) == len(region_ranks(towers, truth, 96))
    ranks = region_ranks(towers, truth, 96, 2.)
    assert ranks.shape == truth.all_labels().shape and (ranks < 42).all()


# -- verdicts -------------------------------------------------------------------------------------


def outcomes(small_after=.6, recovered=.9, alone=.3, fused=.5, seeds=(0, 1)):
    """Results of seeds that differ by a hundredth."""
    found = {}
    for seed in seeds:
        def regions(small, large, seed=seed):
            return {'regions': {'small': small + seed / 100, 'large': large,
                                'all': (small + large) / 2 + seed / 100}, 'pictures': .95}

        found[f'clip-{seed}'] = {**regions(.2, .95),
                                 'twice as large': {'small': .8, 'large': .9, 'all': .85}}
        found[f'recovery-{seed}'] = {**regions(.2, recovered),
                                     'before': regions(0., .02)['regions']}
        found[f'stronger-{seed}'] = regions(small_after, .9)
        found[f'all-losses-{seed}'] = regions(.3, .9)
        found[f'captions-alone-{seed}'] = regions(alone, alone)
        for variant in VARIANTS:
            found[f'transfer-{variant}-{seed}'] = {'rankings': {
                'p': {'coco/AP': .4, 'coco/AP50': .5, 'coco/novel_AP50': .3, 'coco/base_AP50': .7},
                'sqrt(p * sigmoid)': {'coco/AP': fused}, 'sqrt(p * logit)': {'coco/AP': fused}}}
    return found


def verdicts(**changes):
    return {row['comparison'].split(':')[0].split(',')[0]: row['verdict']
            for row in judge(outcomes(**changes), [0, 1]) if row['bar']}


def test_bars_are_met_and_missed():
    assert set(verdicts().values()) == {'met'} and len(verdicts()) == 5
    assert verdicts(recovered=.8)['recovery'] == 'missed'
    assert verdicts(small_after=.49)['stronger teacher'] == 'missed'
    assert verdicts(alone=.6)['losses'] == 'missed'
    assert verdicts(fused=.4)['AP of boxes ranked by sqrt(p * sigmoid) and by p'] == 'missed'


def test_rows_say_what_was_measured():
    rows = {row['comparison']: row for row in judge(outcomes(), [0, 1])}
    gap = rows['CLIP: top-1 of regions, large things and small ones']
    assert gap['measured'] == '95.0 ± 0.0 and 20.5 ± 0.5' and gap['verdict'] == 'reported'
    novel = next(row for what, row in rows.items() if 'novel' in what)
    assert novel['measured'] == '30.0 ± 0.0 and 30.0 ± 0.0'
    assert score_rows(outcomes(seeds=[0]))[0] == {
        'unit': 'clip-0', 'large': 95.0, 'small': 20.0, 'all': 57.5, 'pictures': 95.0}


# -- the whole ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tiny_run_is_kept_and_resumed(tmp_path, monkeypatch):
    # mmengine lays out every config four times, for longer than two iterations take.
    monkeypatch.setattr(Config, 'pretty_text', property(lambda cfg: '# not laid out'))
    toys = draw_toy_stamps(tmp_path / 'toys')
    args = arguments(tmp_path / 'out', *TINY, '--stamps', str(toys))
    content = region_clip.run(args)
    setup = region_clip.make_setup(args)
    assert len(content['units']) == len(plan_units(setup, [1])) == 8
    assert sum('photographs' in row['comparison'] for row in content['rows']) == 4
    assert (tmp_path / 'out/region-clip.png').stat().st_size > 10_000
    assert 'Top-1' in to_markdown(document('region-clip', [], content))
    start = start_of(setup.weights('recovery', 1))
    assert start.is_file()
    before = {path: path.stat().st_mtime_ns for path in setup.folder.rglob('*.safetensors')}
    setup.result('stronger', 1).unlink()  # as a kill between training and scores leaves it
    again = region_clip.run(args)
    assert again['units'] == content['units']
    assert before == {path: path.stat().st_mtime_ns for path in before}
    with pytest.raises(UserError, match='another'):
        region_clip.run(arguments(tmp_path / 'out', *TINY, '--stamps', str(toys),
                                  '--region-iters', '3'))
