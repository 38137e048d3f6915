"""The one optimiser constructor of all transfer strategies."""
from __future__ import annotations

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

from glipkit.engine.transfer.strategies import build_strategy
from glipkit.engine.transfer.strategy import apply, describe
from glipkit.models.contract import GroundingDetector
from glipkit.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TransferOptimConstructor(DefaultOptimWrapperConstructor):
    """Freezes what a strategy freezes and gives the other parameters their rates.

    ``paramwise_cfg=dict(strategy=dict(name='prompt', ...))``; rate and decay come from it, and
    the optimiser's own are never used. The strategy's ``add`` has been called on the model.
    """

    def __call__(self, model: GroundingDetector) -> OptimWrapper:
        """Build optimiser and wrapper, and log the table of what trains."""
        model = getattr(model, 'module', model)
        rules = dict(self.paramwise_cfg or {})
        if set(rules) != {'strategy'}:
            raise ValueError(f'paramwise_cfg takes strategy=dict(name=...); got {sorted(rules)}')
        groups = apply(model, build_strategy(rules['strategy']))
        print_log(f'what trains:\n{describe(model, groups)}', 'current')
        merged: dict[tuple[float, float], list[nn.Parameter]] = {}
        for group in groups:
            for name, parameter in group.parameters():
                merged.setdefault(group.rates(name), []).append(parameter)
        params = [dict(params=parameters, lr=lr, weight_decay=decay)
                  for (lr, decay), parameters in merged.items()]
        wrapper = dict(self.optim_wrapper_cfg)
        wrapper.setdefault('type', 'OptimWrapper')
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=params))
        return OPTIM_WRAPPERS.build(wrapper, default_args=dict(optimizer=optimizer))
