"""Which scores are better: for mmengine's hooks that keep the best checkpoint or stop early."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    for hook in hooks:
        names: Iterable[str] = ()
        if isinstance(hook, CheckpointHook) and hook.save_best:
            names = hook.key_indicators
        elif isinstance(hook, EarlyStoppingHook) and hook.strict:
            names = [hook.monitor]
        for name in names:
            if name != 'auto' and name not in metrics:
                raise UserError(f'for {type(hook).__name__} one of the scores '
                                f'{", ".join(map(str, metrics)) or "(none)"}', repr(name),
                                'choose one of these; checkpoints that were due are saved')
