"""The little English that generated captions need: plurals, determiners, counts."""
from __future__ import annotations

COUNTS = ('no', 'one', 'two', 'three', 'four', 'five', 'six')
#: Last word -> plural, where the rules of :func:`plural` would be wrong.
IRREGULAR_PLURALS = {
    'bison': 'bison', 'caribou': 'caribou', 'deer': 'deer', 'fireman': 'firemen',
    'fowl': 'fowl', 'goose': 'geese', 'mouse': 'mice', 'potato': 'potatoes', 'sheep': 'sheep',
    'shrimp': 'shrimp', 'tomato': 'tomatoes', 'trout': 'trout'}
#: Nouns that are not counted: the same form for one and for several, after 'some' or nothing.
UNCOUNTED = frozenset(('binoculars', 'broccoli', 'cherries', 'corn', 'fire', 'garlic',
                       'ginger root', 'grapes', 'lettuce', 'measuring tape', 'pliers', 'scissors'))


def plural(noun: str) -> str:
    """Plural of a noun; of several words the last one changes."""
    if is_uncounted(noun) or is_proper(noun):
        return noun
    start, blank, last = noun.rpartition(' ')
    if last in IRREGULAR_PLURALS:
        last = IRREGULAR_PLURALS[last]
    elif last.endswith(('s', 'x', 'z', 'ch', 'sh')):
        last += '' if last.endswith('fish') else 'es'
    elif last.endswith('y') and last[-2:-1] not in 'aeiou':
        last = last[:-1] + 'ies'
    else:
        last += 's'
    return start + blank + last


def is_uncounted(noun: str) -> bool:
    """Whether a noun stands without 'a' and without a count."""
    return noun in UNCOUNTED


def is_proper(noun: str) -> bool:
    """Whether a noun names one thing of its kind and so takes 'the'."""
    return noun.startswith('planet ') or noun == 'moon'


def article(phrase: str) -> str:
    """'a' or 'an'."""
    vowel = phrase[0] in 'aeiou' and not phrase.startswith(('eu', 'uni', 'one '))
    return 'an' if vowel else 'a'
