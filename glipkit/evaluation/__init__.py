"""Evaluation: pure arithmetic in ``functional``, metrics for mmengine around it."""
from glipkit.evaluation.metrics import (
                                        DescribedMetric,
                                        FalsePositiveMetric,
                                        GroundingCocoMetric,
                                        LvisMetric,
                                        OmniLabelMetric,
                                        PhraseRecallMetric,
                                        ReferringMetric,
                                        RegionAccuracyMetric,
)

__all__ = ['DescribedMetric', 'FalsePositiveMetric', 'GroundingCocoMetric', 'LvisMetric',
           'OmniLabelMetric', 'PhraseRecallMetric', 'ReferringMetric', 'RegionAccuracyMetric']
