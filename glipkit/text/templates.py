"""Sentences that a class name is put into: sets of templates by name, and how they are filled.

In a template ``{}`` stands for the name and ``{article}`` for 'a' or 'an', by the first letter of
the name. The sets of ImageNet follow the published list of CLIP (Radford et al., ICML 2021, section
3.1.4), that of detection the published list of ViLD (Gu et al., ICLR 2022); they are written as a
grammar. There is no agreement of a and an where the lists have none.
"""
from __future__ import annotations

import string
from collections.abc import Iterator, Sequence

from glipkit.errors import UserError

_QUALITIES = ('bad', 'low resolution', 'cropped', 'bright', 'dark', 'close-up',
              'black and white', 'pixelated', 'jpeg corrupted', 'blurry', 'good')
_LOOKS = ('hard to see', 'clean', 'dirty', 'cool', 'large', 'nice', 'weird', 'small')
_ART = ('sculpture', 'rendering', 'tattoo', 'drawing', 'painting', 'doodle', 'sketch',
        'rendition')
_MATERIALS = ('embroidered', 'plastic', 'origami', 'toy', 'cartoon', 'plushie')
_ARTICLES = ('a', 'the')


def _imagenet() -> Iterator[str]:
    for q in ('a', 'the', 'many', 'my', 'one'):
        yield f'a photo of {q} {{}}.'
    for q in ('a', 'the', 'my'):
        yield f'itap of {q} {{}}.'
    for q in _ARTICLES:
        yield f'graffiti of {q} {{}}.'
        yield f'art of {q} {{}}.'
        yield f'{q} {{}} in a video game.'
        yield from (f'a {quality} photo of {q} {{}}.' for quality in _QUALITIES)
        yield from (f'a photo of {q} {look} {{}}.' for look in _LOOKS)
        yield from (f'a {kind} of {q} {{}}.' for kind in _ART)
        yield from (f'{q} {material} {{}}.' for material in _MATERIALS)


def _detection() -> Iterator[str]:
    for q in ('{article}', 'the'):
        yield f'There is {q} {{}} in the scene.'
    for q in ('{article}', 'the', 'one'):
        yield f'This is a photo of {q} {{}} in the scene.'
    for q in ('{article}', 'my', 'the'):
        yield f'itap of {q} {{}}.'
    for q in ('{article}', 'my', 'the', 'one', 'many'):
        yield f'This is a photo of {q} {{}}.'
    for q in ('{article}', 'the'):
        yield from (f'This is a {quality} photo of {q} {{}}.' for quality in _QUALITIES)
    for q in _ARTICLES:
        yield from (f'This is a photo of {q} {look} {{}}.' for look in _LOOKS)
        yield from (f'This is {q} {material} {{}}.'
                    for material in ('plastic', 'toy', 'plushie', 'cartoon'))
        yield f'This is a painting of {q} {{}}.'
    yield from ('This is an embroidered {}.', 'This is the embroidered {}.')


#: Name of a set -> its templates.
TEMPLATES: dict[str, tuple[str, ...]] = {
    'name': ('{}', ),
    'imagenet': tuple(_imagenet()),
    'imagenet_and_name': ('{}.', *_imagenet()),
    'detection': tuple(_detection()),
}


def find_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """The templates that a name or a sequence means.

    Args:
        templates: A key of `TEMPLATES`, or templates.

    Raises:
        UserError: An unknown name, no template, or one in which the name has no place.
    """
    if isinstance(templates, str):
        found = TEMPLATES.get(templates)
        if found is None:
            raise UserError(f'a set of templates ({", ".join(TEMPLATES)}) or a list of templates',
                            repr(templates), 'choose a name, or write [template] for a single one')
        return found
    found = tuple(templates)
    if not found:
        raise UserError('at least one template', 'an empty list', "write ['{}'] for names alone")
    for template in found:
        _check(template)
    return found


def _check(template: str) -> None:
    try:
        fields = [field for _, field, *_ in string.Formatter().parse(template)
                  if field is not None]
        sound = '' in fields and set(fields) <= {'', 'article'}
        template.format(*['x'] * fields.count(''), article='an')
    except (TypeError, ValueError, IndexError, KeyError, AttributeError):
        sound = False
    if not sound or fields.count('') != 1:
        raise UserError('a template with {} once in the place of the name', repr(template),
                        "write for example 'a photo of {article} {}.'")


def fill(templates: Sequence[str], name: str, article: str | None = None) -> list[str]:
    """The sentences of one name, in the order of the templates; with its own article, or this."""
    article = article or ('an' if name[:1].lower() in tuple('aeiou') else 'a')
    return [template.format(name, article=article) for template in templates]


def write_sentences(templates: Sequence[str], name: str) -> list[str]:
    """The sentences of a name after `clean_name`."""
    return fill(templates, clean_name(name))


def write_detection_sentences(templates: Sequence[str], name: str) -> list[str]:
    """The sentences of a name as ViLD's code writes them, and after it that of others.

    The name is in lower case, without dots at its end, with a blank for each '_' and ' or ' for
    each '/'. As there, its article looks at the first letter before that, and knows only vowels
    in lower case: "a umbrella" for "Umbrella".
    """
    article = 'an' if name[:1] in tuple('aeiou') else 'a'
    words = name.replace('_', ' ').replace('/', ' or ').lower().rstrip('.')
    return fill(templates, words, article)


def clean_name(name: str, identifier: bool = False) -> str:
    """A class name as the sentences take it: without commas, with a blank for each '+'.

    Args:
        name: Name as a data set has it.
        identifier: Whether it is written like ``flip-flop_(sandal)``: a blank then stands for each
            '_', and parentheses are removed.
    """
    changes = {ord(','): None, ord('+'): ' '}
    if identifier:
        changes.update({ord('_'): ' ', ord('('): None, ord(')'): None})
    return name.translate(changes).strip()
