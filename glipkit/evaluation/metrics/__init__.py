"""Thin mmengine metrics around `glipkit.evaluation.functional`."""
from glipkit.evaluation.metrics.coco import GroundingCocoMetric

__all__ = ['GroundingCocoMetric']
