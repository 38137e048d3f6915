"""A CLIP image transformer of some thousand weights with a dense map, and its config."""
from __future__ import annotations

from pathlib import Path

TINY_CONFIG = '''
default_scope = 'glipkit'
model = dict(
    type='DenseClip',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor', mean=[122.771, 116.746, 104.094],
        std=[68.5005, 66.6322, 70.3232], bgr_to_rgb=True, pad_size_divisor=1),
    backbone=dict(type='EvaViT', image_size=64, width=32, layers=2, heads=2, embed_dim=64),
    text_encoder=dict(type='ClipTextEncoder', width=32, heads=2, layers=1, embed_dim=64,
                      activation='gelu'),
    box_source=dict(type='GridBoxes', sizes=(0.5, 1.)),
    templates='name',
    test_cfg=dict(score_threshold=0.001, max_per_image=10))
test_pipeline = [
    dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ShortSideResize', scale=(96, 96)),
    dict(type='PackGrounding')
]
'''


def write_config(folder: Path, name: str = 'tiny_dense.py') -> Path:
    """Writes the tiny model's config; the stem of the file is the model's name in messages."""
    path = folder / name
    path.write_text(TINY_CONFIG, encoding='utf-8')
    return path
