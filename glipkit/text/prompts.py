"""Class lists and captions to prompts: the text for the model, with the spans of each entity."""
from __future__ import annotations

import re
import reprlib
import string
import unicodedata
from collections.abc import Mapping, Sequence
from operator import index

from glipkit.errors import UserError
from glipkit.text.structures import CaptionPrompt, Prompt, Span
from glipkit.text.tokenizers.contract import Tokenizer

_AFFIX_KEYS = {'prefix', 'name', 'suffix'}
_PARTING = string.whitespace + string.punctuation  # a tokenizer joins no words across these


def clean_name(name: str) -> str:
    """A class name as it is written in a prompt.

    As in the official code, everything from the first '(' to the last ')' is removed and '_'
    becomes a blank. Several blanks become one, and blanks at the ends are removed; neither changes
    the tokens.
    """
    if not isinstance(name, str):
        raise UserError('class names that are strings', f'{type(name).__name__} {name!r}',
                        'quote the name')
    return ' '.join(re.sub(r'\(.*\)', '', name, flags=re.DOTALL).replace('_', ' ').split())


def class_prompt(names: Sequence[str], separator: str = '. ',
                 caption_prompt: CaptionPrompt | None = None, start: int = 0,
                 labels: Sequence[int] | None = None) -> Prompt:
    """Joins class names to one caption, one entity per class, in the given order.

    Args:
        names: Class names, all different.
        separator: Text between two classes; it does not follow the last.
        caption_prompt: Hand-written prompts (the official option) for some or all classes:
            prefix + name + suffix stands in the caption as written, and the span covers ``name``
            only. The defaults are '' for prefix and suffix, the cleaned class name for name.
            Entries for classes that are not in ``names`` are ignored.
        start: Index of the first name in a longer list.
        labels: Label of each name; None for ``start`` and those that follow.

    Returns:
        The prompt; ``names`` holds the caller's exact strings.

    Raises:
        UserError: No names, one twice, or one without any letter or digit; or a separator that
            would glue names together.
    """
    check_class_names(names)
    _check_separator(separator)
    caption, spans = '', []
    for i, name in enumerate(names):
        prefix, written, suffix = _parts(name, caption_prompt)
        begin = len(caption) + len(prefix)
        spans.append((_trimmed(begin, written), ))
        caption += prefix + written + suffix + (separator if i + 1 < len(names) else '')
    return Prompt(caption, tuple(spans), tuple(names), start,
                  None if labels is None else tuple(labels))


def split_class_prompt(names: Sequence[str], tokenizer: Tokenizer, max_tokens: int = 256,
                       separator: str = '. ', caption_prompt: CaptionPrompt | None = None,
                       labels: Sequence[int] | None = None) -> list[Prompt]:
    """As few consecutive class prompts as a token budget allows.

    Args:
        names: Class names, all different; any number.
        tokenizer: Tokenizer of the text encoder, which counts the tokens.
        max_tokens: Budget of one prompt, with special tokens and separators.
        separator: Text between two classes, see :func:`class_prompt`.
        caption_prompt: Hand-written prompts, see :func:`class_prompt`.
        labels: Label of each name; names of one label follow each other and stand in one prompt.
            None for a label of its own for each.

    Returns:
        Prompts that cover the list in order; ``start`` tells where each begins.

    Raises:
        UserError: A single class that exceeds the budget, or an error of :func:`class_prompt`.
    """
    check_class_names(names)
    _check_separator(separator)
    labels = range(len(names)) if labels is None else labels
    special = tokenizer.special_tokens
    separator_length = tokenizer.count(separator)
    bounds, length = [0], special
    for begin, end in _runs(labels):
        entry = (end - begin - 1) * separator_length + sum(
            tokenizer.count(''.join(_parts(name, caption_prompt))) for name in names[begin:end])
        if entry + special > max_tokens:
            others = f' and its {end - begin - 1} other names' if end - begin > 1 else ''
            raise UserError(f'classes of at most {max_tokens - special} tokens',
                            f'{entry} in {reprlib.repr(names[begin])}{others}',
                            f'shorten the name{"s" if others else ""} or raise max_tokens')
        needed = entry + (separator_length if begin > bounds[-1] else 0)
        if length + needed > max_tokens:
            bounds.append(begin)
            length, needed = special, entry
        length += needed
    return [class_prompt(names[begin:end], separator, caption_prompt, begin, labels[begin:end])
            for begin, end in zip(bounds, [*bounds[1:], len(names)])]


def _runs(labels: Sequence[int]) -> list[tuple[int, int]]:
    """Where equal labels stand one after another: [start, end) of each run."""
    cuts = [i for i in range(1, len(labels)) if labels[i] != labels[i - 1]]
    return list(zip([0, *cuts], [*cuts, len(labels)]))


def phrase_prompt(caption: str, phrases: Sequence[Span | Sequence[Span]],
                  names: Sequence[str] | None = None) -> Prompt:
    """A free caption with the phrases to ground in it.

    Args:
        caption: Any text.
        phrases: Half-open character span of each entity, or a list of its spans.
        names: String that is returned for each entity; None takes the text of its spans.

    Returns:
        The prompt. Spans are trimmed of blanks at their ends, which have no tokens.

    Raises:
        UserError: No phrases, not one name per phrase, or a span that is reversed, outside the
            caption, or without any letter or digit.
    """
    if not isinstance(caption, str):
        raise UserError('a caption that is a string', f'{type(caption).__name__} {caption!r}',
                        'pass a string')
    if not hasattr(phrases, '__len__') or isinstance(phrases, (str, Mapping)):
        raise UserError('phrases as a list of (start, end)',
                        f'{type(phrases).__name__} {phrases!r}', 'pass phrases=[(start, end), ...]')
    if not len(phrases):
        raise UserError('at least one phrase', 'none', 'pass phrases=[(start, end), ...]')
    entities = [_entity_spans(phrase) for phrase in phrases]
    spans = tuple(tuple(_checked(caption, *span) for span in entity) for entity in entities)
    if names is None:
        names = [' '.join(caption[begin:end] for begin, end in entity) for entity in spans]
    if len(names) != len(spans):
        raise UserError(f'{len(spans)} names, one per phrase', f'{len(names)}',
                        'pass one name per phrase, or none')
    return Prompt(caption, spans, tuple(names))


def check_class_names(names: Sequence[str]) -> None:
    """Refuses a class list that cannot be asked for.

    Raises:
        UserError: Not a list, an empty one, a name that is not a string, or a repeated name.
    """
    if isinstance(names, str):
        raise UserError('a list of class names', f'the string {reprlib.repr(names)}',
                        f'pass [{reprlib.repr(names)}]')
    if not hasattr(names, '__len__'):
        raise UserError('a list of class names', f'{type(names).__name__} {names!r}',
                        "pass e.g. ['person', 'dog']")
    if not len(names):
        raise UserError('at least one class name', 'an empty list', "pass e.g. ['person', 'dog']")
    seen: set[str] = set()
    for i, name in enumerate(names):
        clean_name(name)  # refuses what is not a string, and so may not be hashable
        if name in seen:
            raise UserError('class names that differ', f'{name!r} again at index {i}',
                            'drop or rename one of them')
        seen.add(name)


def _check_separator(separator: str) -> None:
    if not separator or separator[0] not in _PARTING or separator[-1] not in _PARTING:
        raise UserError('a separator that keeps words apart', repr(separator),
                        "begin and end it with a blank or punctuation, as '. '")


def _parts(name: str, caption_prompt: CaptionPrompt | None) -> tuple[str, str, str]:
    """Prefix, name and suffix as written in the caption."""
    entry = (caption_prompt or {}).get(name, {})
    if not isinstance(entry, Mapping) or not entry.keys() <= _AFFIX_KEYS:
        raise UserError("hand-written prompts with 'prefix', 'name' and 'suffix'",
                        f'{entry!r} for {name!r}',
                        "write e.g. dict(name='holes', suffix=' on the road')")
    written = entry.get('name', clean_name(name))
    if not _is_word(written):
        raise UserError('class names with a letter or a digit outside parentheses', repr(name),
                        'rename the class, or give it a name through caption_prompt')
    return entry.get('prefix', ''), written, entry.get('suffix', '')


def _entity_spans(phrase: Span | Sequence[Span]) -> list[Span]:
    """One span or a list of spans to a list of spans of plain integers."""
    try:
        pairs = [phrase] if hasattr(phrase[0], '__index__') else list(phrase)
        return [(index(begin), index(end)) for begin, end in pairs]
    except (TypeError, ValueError, IndexError) as error:
        raise UserError('each phrase as (start, end) or a list of such pairs', repr(phrase),
                        'pass whole numbers that count characters') from error


def _checked(caption: str, begin: int, end: int) -> Span:
    got = f'({begin}, {end})'
    if not 0 <= begin < end <= len(caption):
        raise UserError(f'0 <= start < end <= {len(caption)}, the length of the caption', got,
                        'count characters from 0; end is the first one after the phrase')
    if not _is_word(caption[begin:end]):
        raise UserError('a span over a letter or a digit', f'{got}, {caption[begin:end]!r}',
                        'check that the span belongs to this caption')
    return _trimmed(begin, caption[begin:end])


def _trimmed(begin: int, text: str) -> Span:
    """Span of ``text``, which begins at character ``begin``, without the ends that get no token.

    A tokenizer gives no token to blanks, control characters and, uncased, combining accents.
    `token_map` allows two of these at an end; with three the entity would be lost without an error.
    """
    kept = [i for i, character in enumerate(text) if not _is_dropped(character)]
    return begin + kept[0], begin + kept[-1] + 1


def _is_dropped(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] in 'CMZ'


def _is_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
