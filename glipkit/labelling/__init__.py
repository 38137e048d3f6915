"""What captions teach without boxes: a teacher grounds their phrases; their nouns become concepts."""
from glipkit.labelling.concepts import ConceptSettings, make_pool
from glipkit.labelling.engines import Teacher
from glipkit.labelling.run import pseudo_label
from glipkit.labelling.settings import LabelSettings

__all__ = ['ConceptSettings', 'LabelSettings', 'Teacher', 'make_pool', 'pseudo_label']
