"""Thin mmengine metrics around `glipkit.evaluation.functional`."""
from glipkit.evaluation.metrics.coco import GroundingCocoMetric
from glipkit.evaluation.metrics.false_positives import FalsePositiveMetric
from glipkit.evaluation.metrics.flickr import PhraseRecallMetric
from glipkit.evaluation.metrics.lvis import LvisMetric
from glipkit.evaluation.metrics.region_accuracy import RegionAccuracyMetric

__all__ = ['FalsePositiveMetric', 'GroundingCocoMetric', 'LvisMetric', 'PhraseRecallMetric',
           'RegionAccuracyMetric']
