"""Thin mmengine metrics around `glipkit.evaluation.functional`."""
from glipkit.evaluation.metrics.coco import GroundingCocoMetric
from glipkit.evaluation.metrics.descriptions import DescribedMetric, OmniLabelMetric
from glipkit.evaluation.metrics.false_positives import FalsePositiveMetric
from glipkit.evaluation.metrics.flickr import PhraseRecallMetric
from glipkit.evaluation.metrics.lvis import LvisMetric
from glipkit.evaluation.metrics.referring import ReferringMetric
from glipkit.evaluation.metrics.region_accuracy import RegionAccuracyMetric
from glipkit.evaluation.metrics.segmentation import PanopticMetric, SemanticMetric

__all__ = ['DescribedMetric', 'FalsePositiveMetric', 'GroundingCocoMetric', 'LvisMetric',
           'OmniLabelMetric', 'PanopticMetric', 'PhraseRecallMetric', 'ReferringMetric',
           'RegionAccuracyMetric', 'SemanticMetric']
