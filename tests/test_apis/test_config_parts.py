"""Parts of a config are found by what they are."""
from __future__ import annotations

import pytest

from glipkit.apis.config_parts import place_of, type_name, without
from glipkit.errors import UserError

STEPS = [dict(type='mmdet.LoadImageFromFile'), dict(type='mmdet.LoadAnnotations'),
         dict(type='PackGrounding')]


def test_by_the_beginning_of_the_type_whatever_its_scope():
    assert [type_name(step) for step in STEPS] == ['LoadImageFromFile', 'LoadAnnotations',
                                                   'PackGrounding']
    assert place_of(STEPS, 'LoadImage', 'steps') == 0
    assert place_of(STEPS, 'Pack', 'steps') == 2
    assert without(STEPS, 'LoadAnnotations') == [STEPS[0], STEPS[2]]
    assert without(STEPS, 'Load') == STEPS  # whole names


def test_what_is_not_there_is_told():
    with pytest.raises(UserError, match='test_pipeline with a Resize.*LoadImageFromFile'):
        place_of(STEPS, 'Resize', 'test_pipeline')
    with pytest.raises(UserError, match='none'):
        place_of([], 'Resize', 'test_pipeline')
