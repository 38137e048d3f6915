"""The length of a training that has to end in time."""
from __future__ import annotations

import pytest
from mmengine.config import Config

from glipkit.apis.training import load_config, set_max_iters
from glipkit.errors import UserError
from glipkit.reports import time_box
from glipkit.reports.time_box import Speed, fit_into


@pytest.fixture
def cfg():
    return Config(dict(train_cfg=dict(max_iters=1300, val_interval=433)))


@pytest.fixture
def speed(monkeypatch):
    """Sets how fast the machine is said to be; counts how often that was asked."""
    asked = []

    def put(iteration, evaluation, *rest):
        monkeypatch.setattr(time_box, 'measure', lambda cfg, folder, pictures: (
            asked.append(pictures), Speed(iteration, evaluation, *rest))[1])
        return asked

    return put


@pytest.mark.parametrize('iteration,evaluation,minutes,expected', [
    (0.5, 0., 8, 960), (0.5, 20., 8, 840), (0.3, 5., 8, 1300), (10., 60., 1, 1), (0.1, 0., .5, 300)
])
def test_what_fits(cfg, speed, tmp_path, iteration, evaluation, minutes, expected):
    speed(iteration, evaluation)
    box = fit_into(cfg, minutes, tmp_path / 'new/length.json')
    assert (box.iterations, box.of, box.minutes) == (expected, 1300, minutes)
    assert cfg.train_cfg.max_iters == 1300
    assert str(box) == (f'{expected} of 1300 iterations, for {minutes} minutes at '
                        f'{iteration:.2f} s each')


@pytest.mark.parametrize('picture,minutes,iterations,pictures', [
    # Three evaluations of 32 s, the first 8 of them for the names: (480 - 96) / 0.5.
    (.4, 8, 768, 60), (.01, 8, 900, 200), (9., 1, 1, 8)])
def test_evaluations_that_are_bounded_too(cfg, speed, tmp_path, picture, minutes, iterations,
                                          pictures):
    asked = speed(.5, 99., 8., picture)
    box = fit_into(cfg, minutes, tmp_path / 'length.json', 200)
    assert asked == [200] and (box.iterations, box.pictures) == (iterations, pictures)
    assert fit_into(cfg, 1, tmp_path / 'length.json', 200) == box


@pytest.mark.parametrize('iterations', [5, 7, 250, 1300])
def test_two_evaluations_in_a_training_and_none_at_its_end(iterations):
    cfg = load_config('configs/glip/glip-mini_shapes.py')
    set_max_iters(cfg, iterations)
    time_box.bound_evaluations(cfg, 12, 12)
    assert cfg.val_dataloader.dataset.indices == 24  # as the config says
    time_box.bound_evaluations(cfg, 12, 13)
    assert iterations // cfg.train_cfg.val_interval == 2 and iterations % cfg.train_cfg.val_interval
    assert cfg.val_dataloader.dataset.indices == cfg.test_dataloader.dataset.indices == 12


def test_a_resumed_training_keeps_its_length(cfg, speed, tmp_path):
    asked = speed(0.5, 0.)
    first = fit_into(cfg, 8, tmp_path / 'length.json')
    speed(5., 0.)
    assert fit_into(cfg, 2, tmp_path / 'length.json') == first
    assert len(asked) == 1


@pytest.mark.parametrize('text', ['', '{', '[]', '{}', '{"iterations": 3}', '3',
                                  '{"iterations": 9, "of": 1, "seconds": 1, "minutes": 1, '
                                  '"pictures": 0}',
                                  '{"iterations": 0, "of": 1, "seconds": 1, "minutes": 1}',
                                  '{"iterations": "9", "of": 1, "seconds": 1, "minutes": 1}'])
def test_a_file_of_something_else_is_refused(cfg, tmp_path, text):
    (tmp_path / 'length.json').write_text(text)
    with pytest.raises(UserError, match='length.json'):
        fit_into(cfg, 8, tmp_path / 'length.json')


@pytest.mark.parametrize('iters,spans', [
    (1, [(0, 1)]), (2, [(0, 1), (1, 2)]), (650, [(0, 50), (50, 650)])])
def test_the_learning_rate_ends_with_the_training(iters, spans):
    cfg = load_config('configs/glip/glip-mini_shapes.py')
    set_max_iters(cfg, iters)
    assert [(s['begin'], s['end']) for s in cfg.param_scheduler] == spans
    assert cfg.train_cfg.max_iters == iters
