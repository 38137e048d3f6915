"""Whether what a task file says can be a task: types, lengths, spans and finite values."""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from glipkit.checkpoints.soundness import first_not_finite
from glipkit.engine.transfer import build_strategy
from glipkit.text.query import Query


def check_task(header: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Refuses what no tuning wrote.

    Args:
        header: Fields of a task as read from JSON, the tensors left out.
        state: Its tensors.

    Raises:
        ValueError: With what is wrong.
    """
    _check_words(header)
    _check_spans(header['spans'], header['captions'], _count_names(header))
    settings = header['strategy']
    if not isinstance(settings, dict) or not isinstance(settings.get('name'), str):
        raise ValueError('its strategy has no name')
    strategy = build_strategy(settings)
    for key in type(strategy).__dataclass_fields__:
        value, default = getattr(strategy, key), getattr(type(strategy), key, None)
        if _is_number(default) and not (_is_number(value) and 0 <= value < math.inf):
            raise ValueError(f'the setting {key} of its strategy is {value!r}')
        if isinstance(default, int) and not isinstance(default, bool) \
                and not (isinstance(value, int) and value >= 1):
            raise ValueError(f'the setting {key} of its strategy is {value!r}')
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise ValueError(f'its tensor {name} is of {tensor.dtype}')
    if (name := first_not_finite(state)) is not None:
        raise ValueError(f'its tensor {name} has NaN or infinite values')


def _check_words(header: Mapping[str, Any]) -> None:
    for key in ('classes', 'captions'):
        if not _is_list(header[key], str) or not header[key]:
            raise ValueError(f'its {key} are no list of names')
    if not _is_list(header['category_ids'], int):
        raise ValueError('its category_ids are no list of whole numbers')
    if len(header['category_ids']) != len(header['classes']):
        raise ValueError(f'it has {len(header["classes"])} classes and '
                         f'{len(header["category_ids"])} category_ids')
    for key in ('category_ids', 'classes'):
        if len(set(header[key])) != len(header[key]):
            raise ValueError(f'its {key} are not all different')
    for key in ('base', 'model'):
        if not isinstance(header[key], str):
            raise ValueError(f'its {key} is no text')
    if not isinstance(header['details'], dict):
        raise ValueError('its facts are no dictionary')
    words = header['caption_prompt']
    if words is not None:
        if not isinstance(words, dict):
            raise ValueError('its caption_prompt is no dictionary')
        Query.for_classes(header['classes'], words)  # refuses other forms


def _count_names(header: Mapping[str, Any]) -> int:
    """How many names a task asks; refuses parts of a query that cannot be."""
    parts = header['parts']
    known = {'synonyms', 'combine', 'negative_classes', 'exclusive'}
    if not isinstance(parts, dict) or not set(parts) <= known:
        raise ValueError('its query is no dictionary of parts')
    return len(Query.for_classes(header['classes'], **parts).asked)


def _check_spans(spans: Any, captions: list[str], classes: int) -> None:
    if not isinstance(spans, list) or len(spans) != len(captions) \
            or not all(_is_list(prompt, list) for prompt in spans) \
            or sum(map(len, spans)) != classes:
        raise ValueError('its spans do not stand for each class once')
    for caption, prompt in zip(captions, spans):
        for entity in prompt:
            if not entity or not all(
                    _is_list(span, int) and len(span) == 2
                    and 0 <= span[0] < span[1] <= len(caption) for span in entity):
                raise ValueError(f'its spans {entity!r} are not in {caption[:40]!r}')


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, kind) and not isinstance(item, bool) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
