"""Checkpoints of the GLIP family: three layouts, one strict and safe way to load them."""
from glipkit.models.checkpoints.files import RawFile, check_target, read_file, sha256
from glipkit.models.checkpoints.io import (LoadReport, load_backbone, load_checkpoint,
                                           load_text_encoder, read_training_checkpoint,
                                           save_checkpoint)
from glipkit.models.checkpoints.layouts import (LAYOUTS, Checkpoint, check_complete, read,
                                                to_layout, write)
from glipkit.models.checkpoints.structure import Structure

__all__ = [
    'LAYOUTS', 'Checkpoint', 'LoadReport', 'RawFile', 'Structure', 'check_complete',
    'check_target', 'load_backbone', 'load_checkpoint', 'load_text_encoder', 'read', 'read_file',
    'read_training_checkpoint', 'save_checkpoint', 'sha256', 'to_layout', 'write'
]
