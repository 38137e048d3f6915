"""Training: runner, optimiser construction, mixed precision, hooks."""
from glipkit.engine.hooks.finite import FiniteHook
from glipkit.engine.hooks.interpolate import InterpolateHook
from glipkit.engine.hooks.iter_seed import IterSeedHook
from glipkit.engine.hooks.part_weights import PartWeightsHook
from glipkit.engine.hooks.plateau import PlateauHook
from glipkit.engine.hooks.progress import ProgressBarHook
from glipkit.engine.optim.autocast import AutocastOptimWrapper
from glipkit.engine.optim.compact_adamw import CompactAdamW
from glipkit.engine.optim.constructor import GroundingOptimConstructor
from glipkit.engine.optim.tensor_clip import ClippingOptimWrapper
from glipkit.engine.runner import GroundingRunner
from glipkit.engine.tracking import MLflowBackend, WandbBackend
from glipkit.engine.transfer.constructor import TransferOptimConstructor

__all__ = [
    'AutocastOptimWrapper', 'ClippingOptimWrapper', 'CompactAdamW', 'FiniteHook',
    'GroundingOptimConstructor', 'GroundingRunner', 'InterpolateHook', 'IterSeedHook',
    'MLflowBackend', 'PartWeightsHook', 'PlateauHook', 'ProgressBarHook',
    'TransferOptimConstructor', 'WandbBackend'
]
