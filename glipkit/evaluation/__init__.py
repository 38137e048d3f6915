"""Evaluation: pure arithmetic in ``functional``, metrics for mmengine around it."""
from glipkit.evaluation.metrics import GroundingCocoMetric

__all__ = ['GroundingCocoMetric']
