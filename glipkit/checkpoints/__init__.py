"""Checkpoints of the GLIP family: three layouts, one strict and safe way to load them."""
from glipkit.checkpoints.files import RawFile, check_target, read_file
from glipkit.checkpoints.glip.layouts import (
                                           LAYOUTS,
                                           Checkpoint,
                                           check_complete,
                                           read,
                                           to_layout,
                                           write,
)
from glipkit.checkpoints.glip.structure import Structure
from glipkit.checkpoints.loading import (
                                           LoadReport,
                                           load_backbone,
                                           load_checkpoint,
                                           load_text_encoder,
                                           read_training_checkpoint,
                                           save_checkpoint,
)

__all__ = [
    'LAYOUTS', 'Checkpoint', 'LoadReport', 'RawFile', 'Structure', 'check_complete',
    'check_target', 'load_backbone', 'load_checkpoint', 'load_text_encoder', 'read', 'read_file',
    'read_training_checkpoint', 'save_checkpoint', 'to_layout', 'write'
]
