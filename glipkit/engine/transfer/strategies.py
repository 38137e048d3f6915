"""Strategies by name."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glipkit.engine.transfer.examples import ExamplesStrategy
from glipkit.engine.transfer.full import FullStrategy
from glipkit.engine.transfer.head import HeadStrategy
from glipkit.engine.transfer.lora import LoraStrategy
from glipkit.engine.transfer.manual import ManualStrategy
from glipkit.engine.transfer.prompt import PromptStrategy
from glipkit.engine.transfer.strategy import Strategy
from glipkit.engine.transfer.text import TextStrategy
from glipkit.errors import UserError

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (
        FullStrategy, HeadStrategy, LoraStrategy, ManualStrategy, PromptStrategy, TextStrategy)
}
#: Those of task files; names are learned from examples in another way than by tuning.
_ALL = {**STRATEGIES, ExamplesStrategy.name: ExamplesStrategy}


def build_strategy(settings: Mapping[str, Any]) -> Strategy:
    """A strategy from ``dict(name='prompt', lr=0.05, ...)``.

    Raises:
        UserError: An unknown name, or a setting that this strategy does not have.
    """
    options = dict(settings)
    name = options.pop('name', None)
    if name not in _ALL:
        raise UserError(f'a strategy ({", ".join(sorted(STRATEGIES))})', repr(name),
                        'choose one of these')
    known = _ALL[name].__dataclass_fields__
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f'settings of {name} ({", ".join(known) or "none"})', f'{unknown}',
                        'remove them or check their spelling')
    return _ALL[name](**options)
