"""Which scores are better: for mmengine's hooks that keep the best checkpoint or stop early."""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook

from glipkit.errors import UserError

#: Parts of the names of our metrics. mmengine compares without regard to case.
MORE_IS_BETTER = ('/AP', '_AP', 'R@', 'coco/', 'lvis', 'flickr')
LESS_IS_BETTER = ('false_positives', )


def with_rules(hook: Any) -> Any:
    """The config of a hook, told which of our scores are better when they are more.

    Args:
        hook: Config of a hook, a hook or None; only configs of the two hooks change.
    """
    if not isinstance(hook, Mapping):
        return hook
    kind = hook.get('type')
    kind = kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')
    if kind == 'CheckpointHook' and hook.get('save_best'):
        less = [*LESS_IS_BETTER, *CheckpointHook._default_less_keys]
        more = [*MORE_IS_BETTER, *CheckpointHook._default_greater_keys]
        return {'greater_keys': more, 'less_keys': less, **hook}
    if kind == 'EarlyStoppingHook' and hook.get('rule') is None:
        name = str(hook.get('monitor', '')).lower()
        for rule, parts in (('less', LESS_IS_BETTER), ('greater', MORE_IS_BETTER)):
            if any(part.lower() in name for part in parts):
                return {**hook, 'rule': rule}
    return hook


def check_monitored(hooks: Iterable[Hook], metrics: Mapping[str, Any]) -> None:
    """Refuses a score that hooks follow and no metric gives.

    Args:
        hooks: The hooks of a runner.
        metrics: Scores of an evaluation.

    Raises:
        UserError: With the name of the score, and those there are.
    """
    for hook, name in _followed(hooks):
        if name not in metrics:
            raise _not_there(hook, name, ', '.join(map(str, metrics)) or '(none)',
                             'choose one of these; checkpoints that were due are saved')


def check_names(hooks: Iterable[Hook], metrics: Iterable[Any]) -> None:
    """Refuses, before a training, a score that none of its metrics can give.

    Args:
        hooks: The hooks of a runner.
        metrics: The metrics of the evaluations; one may tell the form of its scores' names behind
            its prefix as ``score_pattern``, a regular expression.

    Raises:
        UserError: With the name of the score, and what can be followed.
    """
    patterns = {getattr(metric, 'prefix', None): getattr(metric, 'score_pattern', '.+')
                for metric in metrics}
    if not patterns or not all(patterns):  # some scores may have any name
        return
    for hook, name in _followed(hooks):
        prefix, _, score = name.rpartition('/')
        if re.fullmatch(patterns.get(prefix, '(?!)'), score) is None:
            known = ', '.join(f'{prefix}/{"AP" if pattern != ".+" else "..."}'
                              for prefix, pattern in patterns.items())
            raise _not_there(hook, name, known, 'correct the config')


def _followed(hooks: Iterable[Hook]) -> Iterator[tuple[Hook, str]]:
    """The hooks that follow scores, with the names of these."""
    for hook in hooks:
        names: Iterable[str] = ()
        if isinstance(hook, CheckpointHook) and hook.save_best:
            names = hook.key_indicators
        elif isinstance(hook, EarlyStoppingHook) and hook.strict:
            names = [hook.monitor]
        yield from ((hook, name) for name in names if name != 'auto')


def _not_there(hook: Hook, name: str, known: str, fix: str) -> UserError:
    return UserError(f'for {type(hook).__name__} one of the scores {known}', repr(name), fix)
