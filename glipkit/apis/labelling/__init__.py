"""Self-training, first half: a teacher grounds the phrases of captions in their images."""
from glipkit.apis.labelling.engines import Teacher
from glipkit.apis.labelling.run import pseudo_label
from glipkit.apis.labelling.settings import LabelSettings

__all__ = ['LabelSettings', 'Teacher', 'pseudo_label']
