"""Parameter groups by the rules of the official solver."""
from __future__ import annotations

from collections.abc import Mapping

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

from glipkit.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroundingOptimConstructor(DefaultOptimWrapperConstructor):
    """Groups of equal rate and decay, by the rules of the official solver.

    ``paramwise_cfg``:
        lr_mults: Mapping from a prefix of parameter names to a factor on the learning rate.
        bias_lr_mult, bias_decay_mult: Factors for every parameter whose name contains ``bias``;
            in official weights that includes Swin's ``relative_position_bias_table`` and the
            alignment's ``bias_lang`` and ``bias0``.

    Weights of normalisation layers are decayed too, as in the official code.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build optimiser and wrapper for the parameters that need gradients."""
        model = getattr(model, 'module', model)
        rules = dict(self.paramwise_cfg or {})
        lr_mults: Mapping[str, float] = rules.pop('lr_mults', {})
        bias_lr, bias_decay = rules.pop('bias_lr_mult', 1.), rules.pop('bias_decay_mult', 1.)
        if rules:
            raise ValueError(f'paramwise_cfg knows lr_mults, bias_lr_mult and bias_decay_mult; '
                             f'got {sorted(rules)}')
        unused = [p for p in lr_mults if not any(n.startswith(p) for n, _ in
                                                 model.named_parameters())]
        if unused:
            raise ValueError(f'lr_mults: no parameter starts with {unused}')
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            lr, decay = self.base_lr, self.base_wd or 0.
            for prefix, factor in lr_mults.items():
                lr *= factor if name.startswith(prefix) else 1.
            if 'bias' in name:
                lr, decay = lr * bias_lr, decay * bias_decay
            groups.setdefault((lr, decay), []).append(parameter)
        return self._build([
            dict(params=params, lr=lr, weight_decay=decay)
            for (lr, decay), params in groups.items()
        ])

    def _build(self, groups: list[dict]) -> OptimWrapper:
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        wrapper_cfg.setdefault('type', 'OptimWrapper')
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=groups))
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=optimizer))
