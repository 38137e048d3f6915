"""Registries of glipkit: one node per kind, all children of mmengine's root nodes.

``type='glipkit.X'`` (or plain ``'X'`` with ``default_scope='glipkit'``) finds our parts from any
mmdet config; ``type='mmdet.X'`` finds mmdet's from ours. The module of a node is imported on its
first use. Nodes without parts of ours are there so that mmengine finds its own through them.
"""
from mmengine import registry as root
from mmengine.registry import Registry


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
