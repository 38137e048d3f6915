"""The groups of the shapes world: disjoint, and no word, pair or triple lost to the unseen."""
import hashlib
from itertools import combinations

import numpy as np
import pytest

from glipkit.worlds import shape_vocabulary as vocabulary
from glipkit.worlds.shape_vocabulary import COLOURS, splits


def parts(items, size):
    """All ways to take ``size`` of an item's four words."""
    return {part for item in items for part in combinations(item.terms, size)}


def test_groups_are_disjoint_and_whole():
    names = splits().names()
    listed = sum(names.values(), [])
    assert len(listed) == len(set(listed)) == len(vocabulary.all_combinations())
    assert {group: len(items) for group, items in names.items()} == {
        'seen': 144, 'unseen': 36, 'caption_only': 72}


@pytest.mark.parametrize('size', [1, 2, 3])
def test_every_part_of_an_unseen_name_is_seen(size):
    assert parts(splits().unseen, size) <= parts(splits().seen, size)


def test_unseen_are_spread_over_all_words():
    words = parts(splits().unseen, 1)
    assert words == parts(splits().seen, 1)


def test_caption_only_words_occur_in_no_other_group():
    held_out = {(word,) for word in (*vocabulary.CAPTION_ONLY_COLOURS,
                                     *vocabulary.CAPTION_ONLY_SHAPES)}
    assert held_out
    assert not held_out & parts(splits().seen + splits().unseen, 1)
    assert all(set(item.terms) & {word for word, in held_out} for item in splits().caption_only)


def test_groups_do_not_drift():
    """A shipped model is judged on these very names: they must stay as they are."""
    names = '\n'.join(splits().names()['unseen'])
    assert names.startswith('small red plain star\nsmall red striped cross\n')
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == '80e5328a7c528f9b'


def test_colours_are_clearly_apart():
    lab = np.array([to_lab(rgb) for rgb in COLOURS.values()])
    distances = np.linalg.norm(lab[:, None] - lab, axis=-1) + 1e3 * np.eye(len(lab))
    assert distances.min() > 40


def to_lab(rgb):
    """CIELAB of an sRGB colour under D65, by the CIE's formulas."""
    share = np.array(rgb) / 255
    linear = np.where(share > .04045, ((share + .055) / 1.055)**2.4, share / 12.92)
    xyz = np.array([[.4124, .3576, .1805], [.2126, .7152, .0722], [.0193, .1192, .9505]]) @ linear
    x, y, z = (np.cbrt(v) if v > .008856 else 7.787 * v + 16 / 116
               for v in xyz / (.9505, 1., 1.089))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)
