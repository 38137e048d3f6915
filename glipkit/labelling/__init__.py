"""Self-training, first half: a teacher grounds the phrases of captions in their images."""
from glipkit.labelling.engines import Teacher
from glipkit.labelling.run import pseudo_label
from glipkit.labelling.settings import LabelSettings

__all__ = ['LabelSettings', 'Teacher', 'pseudo_label']
