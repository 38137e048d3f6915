"""Evaluation: pure arithmetic in ``functional``, metrics for mmengine around it."""
from glipkit.evaluation.metrics import (
                                        FalsePositiveMetric,
                                        GroundingCocoMetric,
                                        LvisMetric,
                                        PhraseRecallMetric,
                                        RegionAccuracyMetric,
)

__all__ = ['FalsePositiveMetric', 'GroundingCocoMetric', 'LvisMetric', 'PhraseRecallMetric',
           'RegionAccuracyMetric']
