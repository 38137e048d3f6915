"""Weights between those that a part began with and those that it has learned."""
from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from glipkit.checkpoints.interpolation import between, check_alpha
from glipkit.errors import UserError
from glipkit.registry import HOOKS


@HOOKS.register_module()
class InterpolateHook(Hook):
    """Evaluates and saves ``alpha * learned + (1 - alpha) * begun with``; training goes on with
    what was learned.

    Checkpoints are as those with averaged weights (mmengine's ``EMAHook``): ``state_dict`` has the
    interpolated weights, ``ema_state_dict`` those that a resumed training takes up, with which its
    optimiser's state belongs. (Ilharco et al., "Patching open-vocabulary models by interpolating
    weights", NeurIPS 2022.)

    Args:
        alpha: Share of what was learned, from 0 to 1; 1 changes nothing.
        part: Name of the part of the model that learns.
        origin: Name of the part that holds what it began with, and learns nothing.

    Raises:
        UserError: ``alpha`` outside of 0 to 1.
    """

    def __init__(self, alpha: float, part: str = 'backbone',
                 origin: str = 'teacher_backbone') -> None:
        self.alpha, self.part, self.origin = check_alpha(alpha), part, origin
        self._learned: dict[str, Tensor] | None = None

    def before_run(self, runner: Runner) -> None:
        """Checks the parts.

        Raises:
            UserError: A part is not there, the two differ in tensors, or weights are averaged too.
        """
        model = _bare(runner)
        parts = dict(model.named_children())
        missing = [name for name in (self.part, self.origin) if name not in parts]
        if missing:
            raise UserError(f'parts of {type(model).__name__} ({", ".join(parts)})',
                            ', '.join(map(repr, missing)), 'correct part and origin')
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise UserError('InterpolateHook or EMAHook', 'both', 'remove one of them')
        between(parts[self.part].state_dict(), parts[self.origin].state_dict(), self.alpha,
                (self.part, self.origin))

    def before_val_epoch(self, runner: Runner) -> None:
        """Puts the interpolated weights in."""
        part: nn.Module = getattr(_bare(runner), self.part)
        self._learned = {key: tensor.clone() for key, tensor in part.state_dict().items()}
        part.load_state_dict(between(
            self._learned, getattr(_bare(runner), self.origin).state_dict(), self.alpha))

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Puts the learned weights back."""
        if self._learned is not None:
            getattr(_bare(runner), self.part).load_state_dict(self._learned)
            self._learned = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Saves the interpolated weights as the model's, and the learned ones beside them."""
        state = checkpoint['state_dict']
        learned = _below(state, self.part)
        mixed = between(learned, _below(state, self.origin), self.alpha)
        checkpoint['ema_state_dict'] = {f'{self.part}.{key}': tensor
                                        for key, tensor in learned.items()}
        state.update({f'{self.part}.{key}': tensor for key, tensor in mixed.items()})

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """A resumed training goes on with the learned weights."""
        if runner._resume:
            checkpoint['state_dict'].update(checkpoint.get('ema_state_dict', {}))


def _bare(runner: Runner) -> nn.Module:
    return getattr(runner.model, 'module', runner.model)


def _below(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    stem = f'{part}.'
    return {key.removeprefix(stem): torch.as_tensor(tensor) for key, tensor in state.items()
            if key.startswith(stem)}
