"""Transfer strategies: what of a pre-trained detector trains for a new task, and how fast."""
from glipkit.engine.transfer.constructor import TransferOptimConstructor
from glipkit.engine.transfer.strategies import STRATEGIES, build_strategy
from glipkit.engine.transfer.strategy import Overrides, Strategy, TrainedGroup, apply, describe
from glipkit.engine.transfer.view import task_view

__all__ = [
    'STRATEGIES', 'Overrides', 'Strategy', 'TrainedGroup', 'TransferOptimConstructor', 'apply',
    'build_strategy', 'describe', 'task_view'
]
