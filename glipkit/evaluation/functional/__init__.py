"""Pure arithmetic of evaluation; imports no framework."""
from glipkit.evaluation.functional.coco_ap import CocoAP, coco_ap
from glipkit.evaluation.functional.description_ap import (
                                                           DescriptionAP,
                                                           described_ap,
                                                           omnilabel_ap,
)
from glipkit.evaluation.functional.false_positives import (
                                                           FalsePositives,
                                                           count_above,
                                                           false_positives,
)
from glipkit.evaluation.functional.federated import FederatedTruth
from glipkit.evaluation.functional.lvis_ap import LvisAP, lvis_ap, make_spool
from glipkit.evaluation.functional.naming import Naming, naming
from glipkit.evaluation.functional.phrase_recall import PhraseRecall, first_hit, phrase_recall
from glipkit.evaluation.functional.region_accuracy import (
                                                           RegionAccuracy,
                                                           region_accuracy,
                                                           true_ranks,
)

__all__ = ['CocoAP', 'DescriptionAP', 'FalsePositives', 'FederatedTruth', 'LvisAP', 'Naming',
           'PhraseRecall', 'RegionAccuracy', 'coco_ap', 'count_above', 'described_ap',
           'false_positives', 'first_hit', 'lvis_ap', 'make_spool', 'naming', 'omnilabel_ap',
           'phrase_recall', 'region_accuracy', 'true_ranks']
