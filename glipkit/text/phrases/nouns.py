"""The things that captions name, as single words in the singular: 'two fire trucks' -> fire truck.

For counting what a pile of captions is about. What belongs to one mention only is left out:
determiners, counts, adjectives, and whose thing it is.
"""
from __future__ import annotations

from glipkit.text.phrases import word_lists as lists
from glipkit.text.phrases.extract import extract_phrases
from glipkit.text.phrases.words import BLANK, Word, read_words

#: Words of a noun at most: 'tennis court', 'fire truck driver'.
MAX_WORDS = 3

_IRREGULAR = {
    'people': 'person', 'children': 'child', 'feet': 'foot', 'teeth': 'tooth', 'geese': 'goose',
    'mice': 'mouse', 'oxen': 'ox', 'lice': 'louse', 'dice': 'die', 'knives': 'knife',
    'wives': 'wife', 'lives': 'life', 'wolves': 'wolf', 'leaves': 'leaf', 'shelves': 'shelf',
    'loaves': 'loaf', 'scarves': 'scarf', 'halves': 'half', 'calves': 'calf', 'hooves': 'hoof',
    'thieves': 'thief', 'elves': 'elf', 'buses': 'bus', 'gases': 'gas', 'lenses': 'lens',
    'canvases': 'canvas', 'shoes': 'shoe', 'horseshoes': 'horseshoe', 'toes': 'toe',
    'canoes': 'canoe', 'hoes': 'hoe', 'quizzes': 'quiz', 'axes': 'axe',
}
#: Plurals that name one thing, or have no singular of the same sense.
_KEPT = frozenset(
    'scissors pants jeans shorts trousers clothes glasses sunglasses eyeglasses goggles binoculars '
    'tights pajamas pyjamas overalls leggings pliers tongs tweezers headquarters species series '
    'sheep police cattle folk fish deer aircraft'.split())
_IE = frozenset('cookie movie tie bowtie pie zombie selfie hoodie brownie smoothie calorie die lie '
                'necktie magpie genie veggie doggie'.split())


def head_nouns(caption: str, backend: str = 'rules') -> list[str]:
    """The nouns of a caption's phrases, in reading order, lower case and singular.

    Args:
        caption: Any text.
        backend: Back end of `extract_phrases`; words that mean the picture itself are left out.

    Returns:
        One noun per phrase, of up to `MAX_WORDS` words; phrases without one give nothing.

    >>> head_nouns("a photo of two fire trucks beside the man's old red boat")
    ['fire truck', 'man', 'boat']
    """
    words = read_words(caption)
    found = []
    for begin, end in extract_phrases(caption, backend, picture_words=False):
        inside = [word for word in words if begin <= word.start and word.end <= end]
        owners = [i for i, word in enumerate(inside) if word.is_possessive]
        parts = [inside[a:b] for a, b in zip([0, *(i + 1 for i in owners)],
                                             [*(i + 1 for i in owners), len(inside)])]
        found += [noun for part in parts if (noun := _noun(part))]
    return found


def _noun(words: list[Word]) -> str:
    """The last noun of some words, with the nouns that it is made of; '' where there is none."""
    chosen: list[str] = []
    for i in range(len(words) - 1, -1, -1):
        word = words[i]
        text = word.text.removesuffix("'s")
        last = not chosen
        fits = word.kind in ('noun', 'either', 'base verb', 's verb', 'ing', 'place') if last \
            else word.kind in ('noun', 'base verb') and words[i + 1].gap == BLANK \
            and len(chosen) < MAX_WORDS
        if not fits or not any(map(str.isalpha, text)) or len(text) < 2:
            break
        chosen.insert(0, singular(text) if last else text)
    return ' '.join(chosen)


def singular(noun: str) -> str:
    """The singular of an English noun in lower case; one that is singular stays as it is.

    >>> [singular(noun) for noun in ('boxes', 'cherries', 'women', 'glass', 'gloves', 'scissors')]
    ['box', 'cherry', 'woman', 'glass', 'glove', 'scissors']
    """
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith('men') and len(noun) > 2 and noun not in ('specimen', 'abdomen', 'ramen'):
        return noun[:-2] + 'an'
    if noun in _KEPT or noun in lists.SINGULAR_S or len(noun) < 4 \
            or not noun.endswith('s') or noun.endswith(('ss', 'us', "'s")):
        return noun
    if noun.endswith('ies') and noun[:-1] not in _IE:
        return noun[:-3] + 'y'
    if noun.endswith(('ches', 'shes', 'xes', 'sses', 'zzes', 'oes')):
        return noun[:-2]
    return noun[:-1]
