"""Templates that read both ways."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glipkit.checkpoints.glip.official import table
from glipkit.checkpoints.key_table import Change, KeyTable, Row


@given(st.integers(0, 99), st.integers(0, 99))
def test_indices_are_scaled_shifted_and_put_back(block, level):
    row = Row('ours.{block}.x.{level}.{param}', 'theirs.{level+2}.{3*block+1}.y.{param}')
    ours = f'ours.{block}.x.{level}.bias'
    theirs = f'theirs.{level + 2}.{3 * block + 1}.y.bias'
    assert row.rename(ours, to_ours=False) == theirs
    assert row.rename(theirs, to_ours=True) == ours


@pytest.mark.parametrize('key', ['theirs.0.y', 'theirs.2.y', 'theirs.1.y.z', 'xtheirs.1.y',
                                 'theirs.1xy', 'theirs.-2.y'])
def test_keys_that_are_not_of_the_template(key):
    assert Row('ours.{block}', 'theirs.{3*block+1}.y').rename(key, to_ours=True) is None


@given(st.booleans(), st.integers(1, 4), st.data())
def test_every_official_row_reads_both_ways(fused, laterals, data):
    rows = table(fused, laterals)
    row = data.draw(st.sampled_from(rows.rows))
    key = row.ours
    for name in ('stage', 'block', 'which', 'level', 'branch'):
        key = key.replace(f'{{{name}}}', str(data.draw(st.integers(0, 30))))
    key = key.replace('{param}', 'weight').replace('{tail}', 'some.other.weight')
    key = key.replace(f'{{extra+{laterals}}}', str(laterals + 1))
    there, unknown, _ = rows.translate({key: torch.zeros(4)}, to_ours=False)
    back, unknown_too, _ = rows.translate({name: torch.zeros(4) for name in there}, to_ours=True)
    assert list(back) == [key] and not unknown and not unknown_too


def test_the_first_row_that_knows_a_key_has_it():
    rows = KeyTable([Row('a.0', 'first'), Row('a.{index}', 'rest.{index}')])
    renamed, unknown, _ = rows.translate({k: torch.zeros(1) for k in ('a.0', 'a.1', 'b')}, False)
    assert list(renamed) == ['first', 'rest.1'] and unknown == ['b']


def test_only_values_that_moved_are_reported():
    flip = Change('flipped', lambda t: t.flip(0), lambda t: t.flip(0))
    rows = KeyTable([Row('{tail}', '{tail}', flip)])
    renamed, _, changed = rows.translate({'a': torch.tensor([1, 2]), 'b': torch.tensor([3, 3])},
                                         True)
    assert renamed['a'].tolist() == [2, 1] and changed == ['a']
