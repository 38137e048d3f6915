"""Checkpoints: one strict and safe way to read, load, convert and save them.

The modules here know no method. What is particular to one stands in a folder of its own
(:mod:`.glip`), which registers a :class:`Family`.
"""
from glipkit.checkpoints.family import Checkpoint, Family, Tower, known_layouts, register
from glipkit.checkpoints.files import RawFile, check_target, read_file
from glipkit.checkpoints.layouts import read, to_layout, write
from glipkit.checkpoints.loading import (
    LoadReport,
    load_backbone,
    load_checkpoint,
    load_proposals,
    load_text_encoder,
    read_training_checkpoint,
    save_checkpoint,
)

__all__ = [
    'Checkpoint', 'Family', 'LoadReport', 'RawFile', 'Tower', 'check_target', 'known_layouts',
    'load_backbone', 'load_checkpoint', 'load_proposals', 'load_text_encoder', 'read', 'read_file',
    'read_training_checkpoint', 'register', 'save_checkpoint', 'to_layout', 'write'
]
