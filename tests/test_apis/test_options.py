"""Overrides that fit, and those that would end a run halfway."""
from __future__ import annotations

import pytest

from glipkit.apis.options import check_options
from glipkit.errors import UserError

CONFIG = {'lr': 0.1, 'model': {'depth': 50, 'frozen': True, 'norm': None},
          'train_cfg': {'max_iters': 10}, 'steps': [{'end': 3}, {'end': 4}],
          'loader': {'batch_size': 2}}


@pytest.mark.parametrize('options', [
    {}, {'lr': 1}, {'lr': 0}, {'model.depth': 18.0}, {'model.frozen': 1}, {'model.norm': 'BN'},
    {'model.new': 'x'}, {'model': None}, {'model': {'depth': 'x'}}, {'steps.1.end': 7},
    {'steps.9.end': 'x'}, {'steps': 3}, {'model.depth.deeper': 'x'}, {'train_cfg.max_iters': 20}])
def test_overrides_that_pass(options):
    check_options(CONFIG, options)


@pytest.mark.parametrize(('key', 'value'), [
    ('lr', 'fast'), ('lr', -1), ('lr', float('nan')), ('model', 5), ('model', 'x'),
    ('model.depth', [1]), ('model.depth', True), ('train_cfg.max_iters', 'abc'),
    ('train_cfg.max_iters', 0), ('train_cfg.max_iters', 1.5), ('train_cfg.max_iters', None),
    ('loader.batch_size', 0), ('loader.batch_size', float('nan')), ('steps.1.end', 'x')])
def test_overrides_that_are_refused(key, value):
    with pytest.raises(UserError, match=f'for {key}; got .*pass e.g. {key}'):
        check_options(CONFIG, {key: value})
