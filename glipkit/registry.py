"""Registries of glipkit: one node per kind, all children of mmengine's root nodes.

``type='glipkit.X'`` (or plain ``'X'`` with ``default_scope='glipkit'``) finds our classes from any
mmdet config; ``type='mmdet.X'`` finds mmdet's from ours. The module of a node is imported on its
first use. Nodes that hold none of our classes lead mmengine to its own.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine import registry as root
from mmengine.registry import DefaultScope, Registry

_BUILDING = threading.RLock()


def _node(parent: Registry, location: str) -> Registry:
    return Registry(parent.name, parent=parent, scope='glipkit', locations=[location])


MODELS = _node(root.MODELS, 'glipkit.models')
MODEL_WRAPPERS = _node(root.MODEL_WRAPPERS, 'glipkit.models')
TASK_UTILS = _node(root.TASK_UTILS, 'glipkit.models')
WEIGHT_INITIALIZERS = _node(root.WEIGHT_INITIALIZERS, 'glipkit.models')

DATASETS = _node(root.DATASETS, 'glipkit.data.registrations')
DATA_SAMPLERS = _node(root.DATA_SAMPLERS, 'glipkit.data.registrations')
TRANSFORMS = _node(root.TRANSFORMS, 'glipkit.data.registrations')

EVALUATOR = _node(root.EVALUATOR, 'glipkit.evaluation')
METRICS = _node(root.METRICS, 'glipkit.evaluation')

HOOKS = _node(root.HOOKS, 'glipkit.engine')
LOG_PROCESSORS = _node(root.LOG_PROCESSORS, 'glipkit.engine')
LOOPS = _node(root.LOOPS, 'glipkit.engine')
OPTIMIZERS = _node(root.OPTIMIZERS, 'glipkit.engine')
OPTIM_WRAPPERS = _node(root.OPTIM_WRAPPERS, 'glipkit.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _node(root.OPTIM_WRAPPER_CONSTRUCTORS, 'glipkit.engine')
PARAM_SCHEDULERS = _node(root.PARAM_SCHEDULERS, 'glipkit.engine')
RUNNERS = _node(root.RUNNERS, 'glipkit.engine')
VISBACKENDS = _node(root.VISBACKENDS, 'glipkit.engine')
VISUALIZERS = _node(root.VISUALIZERS, 'glipkit.engine')


@contextmanager
def building_in(scope: str = 'glipkit') -> Iterator[None]:
    """Looks up unprefixed types in a scope first, inside the block.

    mmengine's default scope belongs to the whole process. So it is set only
    while something is built, by one thread at a time, and restored afterwards.
    """
    with _BUILDING, DefaultScope.overwrite_default_scope(scope):
        yield
