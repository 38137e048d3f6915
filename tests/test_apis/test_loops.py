"""What of a config a training and a test take: all of a loop, or a line about what is missing."""
from __future__ import annotations

import pytest
from mmengine.config import Config

from glipkit.apis.loops import check_for_training, for_test
from glipkit.apis.training import load_config, train
from glipkit.errors import UserError

TEST = dict(test_dataloader=dict(batch_size=1), test_evaluator=dict(type='A'))
TRAINING = dict(train_dataloader=dict(batch_size=1), train_cfg=dict(max_iters=1),
                optim_wrapper=dict(type='OptimWrapper'))


def test_a_test_leaves_parts_of_a_training_aside_and_keeps_a_whole_one():
    cfg = Config(dict(**TEST, train_dataloader=dict(batch_size=2), param_scheduler=[dict(type='B')],
                      val_cfg=dict(type='C')))
    kept = for_test(cfg)
    assert set(kept) == {*TEST, 'test_cfg'} and kept.test_cfg == {}
    assert 'train_dataloader' in cfg and 'test_cfg' not in cfg, 'the own config stays as it is'
    whole = Config({**TEST, **TRAINING, 'param_scheduler': [dict(type='B')]})
    assert set(for_test(whole)) == {*whole, 'test_cfg'}


def test_data_with_an_evaluator_need_no_loop_in_a_training():
    cfg = Config({**TEST, **TRAINING, 'val_cfg': dict(type='C')})
    check_for_training(cfg)
    assert cfg.test_cfg == {} and 'val_cfg' not in cfg


@pytest.mark.parametrize('key', TRAINING)
def test_a_training_without_a_part_is_one_line(key):
    cfg = Config({name: value for name, value in TRAINING.items() if name != key})
    with pytest.raises(UserError, match=f'training settings; got no {key}'):
        check_for_training(cfg)


def test_half_of_what_tests_is_one_line():
    for alone, other in (('test_dataloader', 'test_evaluator'),
                         ('val_evaluator', 'val_dataloader')):
        with pytest.raises(UserError, match=f'got {alone} alone; add {other}') as caught:
            check_for_training(Config({**TRAINING, alone: dict(type='A')}))
        assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match='test_dataloader alone'):
        for_test(Config(dict(test_dataloader=dict(batch_size=1))))
    with pytest.raises(UserError, match='no test_dataloader'):
        for_test(Config(TRAINING))


def test_a_config_that_only_tests_is_refused_before_its_data_are_read(tmp_path):
    with pytest.raises(UserError, match='no train_dataloader'):
        train(load_config('configs/clipself/clipself-mini_things.py', work_dir=str(tmp_path)))
