"""Imports of version 0.1 still work, and say where things are now."""
from __future__ import annotations

import importlib
import sys
import warnings

import pytest

from glipkit.moved import MOVED, place_now


@pytest.mark.parametrize('old', sorted(MOVED))
def test_an_old_name_gives_the_module_of_the_new_one(old):
    sys.modules.pop(f'glipkit.{old}', None)
    with pytest.warns(DeprecationWarning, match=rf'glipkit\.{old} is glipkit\.{MOVED[old]} now'):
        module = importlib.import_module(f'glipkit.{old}')
    assert module is importlib.import_module(f'glipkit.{MOVED[old]}')
    assert module.__name__ == module.__spec__.name == f'glipkit.{MOVED[old]}'


def test_what_a_package_holds_moved_with_it():
    assert place_now('glipkit.models.checkpoints.hub') == 'glipkit.checkpoints.hub'
    assert place_now('glipkit.models.heads') is None
    with pytest.warns(DeprecationWarning):
        from glipkit.models.checkpoints.hub import resolve
    from glipkit.checkpoints import hub
    assert resolve is hub.resolve


def test_old_names_inside_a_module():
    from glipkit.data import checking
    with pytest.warns(DeprecationWarning, match='DataFile'):
        assert checking.Source is checking.DataFile
    with pytest.raises(AttributeError, match='nothing'):
        checking.nothing  # noqa: B018


def test_new_names_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        importlib.import_module('glipkit.checkpoints.loading')
        importlib.import_module('glipkit.data.checking')
