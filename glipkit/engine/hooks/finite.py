"""The end of a training whose weights are lost."""
from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from glipkit.checkpoints.soundness import first_not_finite
from glipkit.errors import UserError
from glipkit.registry import HOOKS


@HOOKS.register_module()
class FiniteHook(Hook):
    """Stops a training at the iteration that made a weight NaN or infinite.

    It comes before the hooks that average, log and save. A loss that is not finite alone is no
    reason: a gradient scaler leaves such an iteration out.
    """

    priority = 'VERY_HIGH'

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None,
                         outputs: dict | None = None) -> None:
        """Looks at every weight that trains.

        Raises:
            UserError: One is not finite.
        """
        model = getattr(runner.model, 'module', runner.model)
        trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        name = first_not_finite(trained)
        if name is None:
            return
        lost = [key for key, value in (outputs or {}).items()
                if isinstance(value, torch.Tensor) and not torch.isfinite(value).all()]
        cause = f'{lost[0]} and then {name}' if lost else name
        raise UserError('a training whose weights stay finite',
                        f'NaN or infinite values in {cause} at iteration {runner.iter + 1}',
                        'lower the learning rate, clip gradients (optim_wrapper.clip_grad), and '
                        'resume from the last checkpoint')
