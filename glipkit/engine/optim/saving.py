"""The optimiser of a config in a form that takes less memory."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glipkit.engine.optim.fused import OWN_WAYS
from glipkit.engine.optim.tensor_clip import check_release
from glipkit.errors import UserError

_KNOWN = ('lr', 'betas', 'eps', 'weight_decay')
#: Wrappers by what does the same and can release gradients.
_RELEASING = {'OptimWrapper': 'glipkit.ClippingOptimWrapper',
              'ClippingOptimWrapper': 'glipkit.ClippingOptimWrapper',
              'AutocastOptimWrapper': 'glipkit.AutocastOptimWrapper'}


def save_memory(wrapper: Mapping[str, Any], one_process: bool = True) -> tuple[dict[str, Any], str]:
    """An optimiser wrapper with less state, whose training is worth the same.

    AdamW becomes :class:`CompactAdamW`. Gradients are released in the backward pass where that
    changes no step: in one process, without accumulation and without a bound on the norm of all.

    Args:
        wrapper: Config ``optim_wrapper``; not changed.
        one_process: Whether no other process has a part in the gradients.

    Returns:
        The new config, and a line for people: what it saves.

    Raises:
        UserError: Another optimiser than AdamW, or a form of it that is not there.
    """
    optimizer = {key: value for key, value in wrapper.get('optimizer', {}).items()
                 if key not in OWN_WAYS and (value or key not in ('amsgrad', 'maximize'))}
    name = _name(optimizer.pop('type', None))
    if name not in ('AdamW', 'CompactAdamW') or not optimizer.keys() <= set(_KNOWN):
        others = ', '.join(sorted(optimizer.keys() - set(_KNOWN)))
        raise UserError(f'to save memory, AdamW with no more than {", ".join(_KNOWN)}',
                        f'{name} with {others}' if others else name,
                        'leave --save-memory out, or train with AdamW')
    changed = {**wrapper, 'optimizer': {'type': 'glipkit.CompactAdamW', **optimizer}}
    reason = _why_kept(wrapper, one_process)
    if reason is None:
        changed.update(type=_RELEASING[_name(wrapper.get('type'))], release_gradients=True)
    kept = 'gradients are released' if reason is None else f'gradients are kept ({reason})'
    return changed, f'moments take 2 bytes a weight, {kept}'


def _why_kept(wrapper: Mapping[str, Any], one_process: bool) -> str | None:
    """Why gradients are not released, None where they are."""
    if not one_process:
        return 'several processes'
    if _name(wrapper.get('type')) not in _RELEASING:
        return _name(wrapper.get('type'))
    try:
        check_release(wrapper.get('clip_grad'), wrapper.get('accumulative_counts', 1))
    except UserError as error:
        return error.got
    return None


def _name(kind: Any) -> str:
    """Name of a type of a config, without its scope."""
    return getattr(kind, '__name__', str(kind or 'OptimWrapper')).rpartition('.')[2]
