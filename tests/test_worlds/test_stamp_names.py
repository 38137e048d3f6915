"""Which stamps are used, and under which names."""
import pytest

from glipkit.worlds import stamp_names
from glipkit.worlds.stamp_names import class_name, name_stamp, spoken_words
from glipkit.worlds.stamps import choose_groups


@pytest.mark.parametrize('caption, expected', [
    ('An owl.', 'owl'), ('A pair of pliers.', 'pliers'), ('A peacock (a male peafowl).', 'peacock'),
    ('A “Granny Smith” apple.', 'granny smith apple'), ('A very small pitcher.', 'pitcher'),
    ('A plumber’s wrench.', "plumber's wrench"), ("A ginger 'root'.", 'ginger root'),
    ('An hippopotamus.', 'hippopotamus'), ('A wheelie bin! Give me your trash!', 'wheelie bin'),
    ('A stethoscope lets your doctor listen.', 'stethoscope'),
    ('Measuring tape.', 'measuring tape'),
    ('Jupiter—the largest planet!', 'jupiter'), ('A walnut in its shell.', 'walnut'),
    ('A colorful rooster.', 'rooster'), ('Remember to flush the toilet and wash.', None),
    ('– Because a brain is a terrible thing', None), ('10 cents.', None), ('', None)])
def test_class_name(caption, expected):
    assert class_name(caption) == expected


@pytest.mark.parametrize('stamp', [
    'symbols/chess/b_1_king', 'military/vehicles/f22', 'military/fireman', 'seasonal/candle',
    'seasonal/winter/ice', 'animals/insects/bee', 'animals/insects/cartoon/fly',
    'animals/birds/cartoon/tux', 'symbols/alphabets/asl/asl_a', 'symbols/recycle',
    'vehicles/construction/dumper_mirror', 'town/flags/redflag'])
def test_some_stamps_are_never_used(stamp):
    assert name_stamp(stamp, 'A thing.') is None


def test_used_stamps_have_their_names():
    assert name_stamp('animals/insectivores/mole', 'A mole.') == 'mole'
    assert name_stamp('animals/mammals/pig_golden', 'A Tamworth pig.') == 'pig'
    assert name_stamp('symbols/money/euro/coins/001', 'A European coin of 1 cent.') == 'euro coin'


def test_tables_are_consistent():
    assert not set(stamp_names.RENAMED) & stamp_names.LEFT_OUT
    forbidden = stamp_names.NEVER_USED + stamp_names.NO_PHOTOGRAPHS
    for stamp, name in stamp_names.RENAMED.items():
        assert name_stamp(stamp, '') == name and '/' in stamp
        assert not any(stamp_names.is_below(stamp, folder) for folder in forbidden)
        assert name == name.lower() and ' '.join(spoken_words(name)) == name


@pytest.mark.parametrize('name, expected', [
    ('red apple', ('red', 'apple')), ('pineapple', ('pineapple',)), ('sea lion', ('sea lion',)),
    ('red traffic light', ('red', 'traffic light')), ('no entry sign', ('no entry', 'sign'))])
def test_spoken_words(name, expected):
    assert spoken_words(name) == expected


def test_groups_are_even_over_folders_and_independent_of_order():
    folders = {f'{folder} {number}': folder for folder in 'abcde' for number in range(40)}
    groups = choose_groups(folders)
    assert groups == choose_groups(dict(reversed(folders.items())))
    assert sorted(sum(groups.values(), [])) == sorted(folders)
    for folder in 'abcde':
        held = {group: sum(name.startswith(folder) for name in names)
                for group, names in groups.items()}
        assert held['unseen'] in (5, 6, 7) and held['caption_only'] in (3, 4, 5)
