"""AdamW whose moments take a quarter of the memory."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from glipkit.engine.optim.eight_bits import (
    BLOCK,
    LEVELS,
    PIECE,
    Coder,
    Moments,
    blocks_of,
    largest_step,
)
from glipkit.errors import UserError
from glipkit.registry import OPTIMIZERS

#: Tensors with fewer elements, such as norms and biases, keep float32: they need little.
LEAST = 4096


@OPTIMIZERS.register_module()
class CompactAdamW(Optimizer):
    """AdamW (Loshchilov and Hutter, ICLR 2019) with moments of one byte an element.

    Moments take 2 bytes a weight and not 8: see :mod:`glipkit.engine.optim.eight_bits`. Steps are
    computed in float32, and those of small tensors are AdamW's own. Learning rate, decay and all
    else mean what they mean there.

    A checkpoint has the moments as they are, so that a resumed training goes on as if it had not
    ended. It does not read the moments of another optimiser.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate.
        betas: Decay of the first and of the second moment.
        eps: Added to the root of the second moment.
        weight_decay: Decay of the weights, in units of the learning rate.

    Raises:
        ValueError: A number outside its range.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2) -> None:
        if lr < 0 or eps < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f'expected lr, eps and weight_decay of at least 0 and betas from 0 to '
                             f'below 1, got {lr}, {eps}, {weight_decay} and {betas}')
        self._coders: dict[torch.device, Coder] = {}
        super().__init__(params, dict(lr=lr, betas=tuple(betas), eps=eps,
                                      weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step of all parameters that have gradients; returns what ``closure`` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            whole: list[Tensor] = []
            for weight in group['params']:
                if weight.grad is None:
                    continue
                if not self.state[weight]:
                    self._begin(weight)
                if 'scales' in self.state[weight]:
                    self._step_in_pieces(weight, group)
                else:
                    whole.append(weight)
            self._step_whole(whole, group)
        return loss

    def state_shapes(self, weight: Tensor) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors of a parameter's state, by key."""
        shapes = dict.fromkeys(('exp_avg', 'exp_avg_sq'), tuple(weight.shape))
        return {**shapes, 'scales': (blocks_of(weight.numel()),)} if _is_compact(weight) else shapes

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave.

        torch's own would make float32 of all moments.

        Raises:
            UserError: Weights lay otherwise in memory, and so did the blocks of moments.
        """
        super().load_state_dict({**state_dict, 'state': {}})
        weights = [weight for group in self.param_groups for weight in group['params']]
        numbers = [number for group in state_dict['param_groups'] for number in group['params']]
        for number, weight in zip(numbers, weights, strict=True):
            if state_dict['state'].get(number):
                self._begin(weight)
                for key, value in self.state[weight].items():
                    saved = state_dict['state'][number][key]
                    if saved.stride() != value.stride():
                        raise UserError(f'moments whose strides are {value.stride()}',
                                        f'{saved.stride()}', 'resume with the model in the '
                                        'memory format that it began with')
                    value.copy_(saved)

    def _begin(self, weight: Tensor) -> None:
        state = self.state[weight]
        state['step'] = torch.tensor(0.)
        first, second = None, None
        if _is_compact(weight):
            first, second = torch.int8, torch.uint8
            state['scales'] = torch.zeros(blocks_of(weight.numel()), device=weight.device)
        state['exp_avg'] = torch.zeros_like(weight, dtype=first)
        state['exp_avg_sq'] = torch.zeros_like(weight, dtype=second)

    def _step_whole(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        states = [self.state[weight] for weight in weights]
        adamw(weights, [weight.grad for weight in weights],
              [state['exp_avg'] for state in states], [state['exp_avg_sq'] for state in states],
              [], [state['step'] for state in states], amsgrad=False, maximize=False,
              beta1=group['betas'][0], beta2=group['betas'][1], lr=group['lr'], eps=group['eps'],
              weight_decay=group['weight_decay'])

    def _step_in_pieces(self, weight: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2), rate = self.state[weight], group['betas'], group['lr']
        state['step'] += 1
        number = int(state['step'])
        moments = Moments(_flat(state['exp_avg']), _flat(state['exp_avg_sq']), state['scales'])
        same = weight.grad.stride() == weight.stride()
        grad = weight.grad if same else torch.empty_like(weight).copy_(weight.grad)
        weights, grads = _flat(weight), _flat(grad)
        unit = largest_step(group['betas']) / LEVELS**2
        corrections = [math.sqrt(1 - beta2**max(count, 1)) for count in (number - 1, number)]
        was, now = (group['eps'] * unit * correction for correction in corrections)
        length = rate * unit * corrections[1] / (1 - beta1**number)
        coder = self._coder(weight.device)
        for begin in range(0, len(weights), PIECE):
            end = min(begin + PIECE, len(weights))
            part, grad = moments.part(begin, end), grads[begin:end]
            first, root = coder.read(part, unit, was)
            first.lerp_(grad, 1 - beta1)
            coder.add_squares(grad, beta2, root)
            steps = coder.write(part, unit, now, number + begin // BLOCK)
            weights[begin:end].mul_(1 - rate * group['weight_decay']).add_(steps, alpha=-length)

    def _coder(self, device: torch.device) -> Coder:
        """The one of a device; pieces are worked on one after the other."""
        if device not in self._coders:
            self._coders[device] = Coder(device)
        return self._coders[device]


def _is_compact(weight: Tensor) -> bool:
    dense = weight.is_contiguous() or (
        weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last))
    return weight.numel() >= LEAST and weight.dtype == torch.float32 and dense


def _flat(tensor: Tensor) -> Tensor:
    """The elements as they lie in memory (N,), a view."""
    return tensor.as_strided((tensor.numel(),), (1,))
