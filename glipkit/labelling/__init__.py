"""What captions give without boxes: phrases that a teacher grounds, and a pool of concepts."""
from glipkit.labelling.concepts import ConceptSettings, make_pool
from glipkit.labelling.engines import Teacher
from glipkit.labelling.run import pseudo_label
from glipkit.labelling.settings import LabelSettings

__all__ = ['ConceptSettings', 'LabelSettings', 'Teacher', 'make_pool', 'pseudo_label']
