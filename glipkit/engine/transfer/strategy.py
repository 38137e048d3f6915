"""What a transfer strategy is, and how one is put on a detector."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.structures import Prompt


@dataclass(frozen=True)
class TrainedGroup:
    """Parts of a model that train at one rate.

    Args:
        name: Name in the table of what trains.
        parts: Modules; all their parameters train.
        lr: Learning rate.
        weight_decay: Weight decay of AdamW.
        bias_rule: Whether parameters whose name contains ``bias`` get twice the rate and no decay,
            as the official solver gives them.
    """
    name: str
    parts: Sequence[nn.Module]
    lr: float
    weight_decay: float
    bias_rule: bool = True

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names (inside their part) and parameters."""
        for part in self.parts:
            yield from part.named_parameters()

    def rates(self, name: str) -> tuple[float, float]:
        """(learning rate, weight decay) of the parameter called ``name``."""
        if self.bias_rule and 'bias' in name:
            return 2 * self.lr, 0.
        return self.lr, self.weight_decay


@dataclass(frozen=True)
class Overrides:
    """Replacements for parts of a base model.

    Args:
        tensors: Full parameter name -> new values.
        modules: Name of a child of the detector -> new module.
        children: Name of a child or attribute of the detector itself -> its value in the view,
            which may hold what it takes the place of.
    """
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    children: Mapping[str, Any] = field(default_factory=dict)


class Strategy(ABC):
    """Answers three questions about a detector: what to add, which groups train, at what rate.

    Parts are named through ``model.layer_groups()`` only. ``state`` is what a task file stores, and
    ``overrides`` turns it into a tuned model again. Rates are fields of the subclasses.
    """

    name: ClassVar[str]
    #: Whether the tuned model answers only the prompts that it was tuned with.
    closed: ClassVar[bool] = False

    def check(self, model: GroundingDetector) -> None:  # noqa: B027
        """Refuses a model that this strategy cannot tune; `tune` asks before it begins.

        Raises:
            UserError: Such a model.
        """

    def add(self, model: GroundingDetector, prompts: Sequence[Prompt]) -> None:  # noqa: B027
        """Adds what the strategy needs; nothing where it trains what is there.

        Args:
            model: The base detector, on its device; changed in place.
            prompts: All prompts of the task.
        """

    @abstractmethod
    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """Which parts train, at what rate; ``add`` has been called."""

    def state(self, model: GroundingDetector) -> dict[str, Tensor]:
        """Copies of what training changes, by name."""
        ours = {id(p) for group in self.trained(model) for _, p in group.parameters()}
        return {name: p.detach().clone() for name, p in model.named_parameters() if id(p) in ours}

    def overrides(self, model: GroundingDetector, state: Mapping[str, Tensor],
                  prompts: Sequence[Prompt]) -> Overrides:
        """What makes the base model ``model`` the tuned one whose ``state`` is given.

        Raises:
            UserError: The state belongs to another model.
        """
        known = dict(model.named_parameters())
        for name, value in state.items():
            if name not in known or known[name].shape != value.shape:
                raise UserError('a task of this model', f'one with {name} {tuple(value.shape)}',
                                'load it into the model it was made with')
        return Overrides(tensors={name: value.to(known[name]) for name, value in state.items()})

    def interpolate(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor],
                    alpha: float) -> dict[str, Tensor]:
        """Weights between the base model (alpha 0) and the tuned one (alpha 1).

        Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022 (WiSE-FT).

        Args:
            before: ``state`` before training.
            after: ``state`` after training.
            alpha: Place between the two, from 0 to 1.
        """
        return {name: torch.lerp(before[name], after[name], alpha) for name in after}


@dataclass(frozen=True)
class GroupStrategy(Strategy):
    """Whole layer groups train at one rate, nothing else.

    Args:
        lr: Learning rate.
        weight_decay: Decay of all weights but biases.
    """
    lr: float = 1e-4
    weight_decay: float = 0.05

    @abstractmethod
    def groups(self, model: GroundingDetector) -> Sequence[str]:
        """Names of the groups."""

    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """The named groups, at the one rate."""
        found = model.layer_groups()
        return [TrainedGroup(name, found[name], self.lr, self.weight_decay)
                for name in self.groups(model)]


def refuse_fixed_text(model: GroundingDetector, name: str) -> None:
    """Refuses a model whose words stay as they are, for a strategy that learns words.

    Raises:
        UserError: The model never trains its text encoder.
    """
    if 'text_encoder' in model.fixed_groups:
        raise UserError(f'a model that learns words, for the strategy {name}',
                        f'a {type(model).__name__}, whose text encoder is fixed',
                        'pass --strategy head, full, lora or manual')


def apply(model: GroundingDetector, strategy: Strategy) -> list[TrainedGroup]:
    """Lets the strategy's groups train and freezes everything else permanently.

    Frozen parts stay in evaluation mode after a later ``model.train()`` too. A second
    call changes nothing.

    Args:
        model: A detector with ``layer_groups()`` and ``frozen_parts``, not wrapped.
        strategy: Strategy whose ``add`` has been called on the model.

    Returns:
        The groups.
    """
    groups = strategy.trained(model)
    seen: set[int] = set()
    model.requires_grad_(False)
    for group in groups:
        for name, parameter in group.parameters():
            if id(parameter) in seen:
                raise ValueError(f'{strategy.name}: {name} of {group.name} is in two groups')
            seen.add(id(parameter))
            parameter.requires_grad_(True)
    model.frozen_parts = [part for child in model.children() for part in _frozen(child)]
    model.train(model.training)
    return groups


def _frozen(module: nn.Module) -> Iterator[nn.Module]:
    """The largest parts without a parameter that trains, and every batch normalisation.

    Statistics of a few images are no estimate for a data set: batch normalisation keeps
    those of the pre-training even where its weights train.
    """
    parameters = list(module.parameters())
    frozen = bool(parameters) and not any(p.requires_grad for p in parameters)
    if frozen or isinstance(module, _BatchNorm):
        yield module
        return
    for child in module.children():
        yield from _frozen(child)


def describe(model: GroundingDetector, groups: Sequence[TrainedGroup]) -> str:
    """A table of what trains, at which rates, and how much of the model it is."""
    rows = [('trains', 'parameters', 'rate', 'decay')]
    total = 0
    for group in groups:
        count = sum(p.numel() for _, p in group.parameters())
        total += count
        rows.append((group.name, f'{count:,}', f'{group.lr:g}', f'{group.weight_decay:g}'))
    everything = sum(p.numel() for p in model.parameters())
    rows.append(('together', f'{total:,}', f'of {everything:,}',
                 f'{100 * total / max(everything, 1):.2f} %'))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return '\n'.join(
        '  '.join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in
                                              zip(row[1:], widths[1:]))]) for row in rows)
