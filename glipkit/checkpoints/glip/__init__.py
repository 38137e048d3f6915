"""The GLIP family: the official code's layout and mmdet's beside ours."""
from glipkit.checkpoints.family import register
from glipkit.checkpoints.glip.layouts import GLIP, check_complete
from glipkit.checkpoints.glip.structure import Structure

register(GLIP)

__all__ = ['GLIP', 'Structure', 'check_complete']
