"""Names that were learned from examples, beside the words that the model knew before."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from glipkit.engine.transfer.strategy import Overrides, Strategy, TrainedGroup
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.structures import Prompt


@dataclass(frozen=True)
class ExamplesStrategy(Strategy):
    """Prompt tuning (GLIP appendix C.2) of prompts of their own for names shown by examples.

    Unlike the strategy ``prompt`` it leaves all words as they are: the view answers any class list,
    and gives a name that was learned its own prompt.

    Args:
        names: Names that were learned, in the order of their labels.
        negatives: What was learned with them and must not be found.
    """

    names: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()

    name: ClassVar[str] = 'examples'

    def __post_init__(self) -> None:
        for key in ('names', 'negatives'):
            value = getattr(self, key)
            if not isinstance(value, (list, tuple)) \
                    or not all(isinstance(name, str) for name in value):
                raise UserError(f'{key} of examples as a list of texts', repr(value),
                                'learn the names again')
            object.__setattr__(self, key, tuple(value))
        if len(set(self.names)) != len(self.names):
            raise UserError('names that differ', repr(self.names), 'learn the names again')

    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """Nothing of the model."""
        return []

    def overrides(self, model: GroundingDetector, state: Mapping[str, Tensor],
                  prompts: Sequence[Prompt]) -> Overrides:
        """A view that knows the names by their features."""
        own = model.example_prompts(self.names, self.negatives)
        rows = [state.get(f'learned.{i}') for i in range(len(own))]
        if len(state) != len(own) or any(one is None or one.ndim != 2 for one in rows):
            raise UserError(f'features of {len(own)} prompts',
                            f'{[tuple(v.shape) for v in state.values()]}',
                            'load the task into the model it was made with')
        device = next(model.parameters()).device
        parts = model.learned_parts(own, [one.to(device) for one in rows])
        return Overrides(children=parts)


def learned_state(rows: Sequence[Tensor]) -> dict[str, Tensor]:
    """What a task file stores of the features (T, C) of each prompt."""
    return {f'learned.{i}': one.detach().cpu().clone() for i, one in enumerate(rows)}
