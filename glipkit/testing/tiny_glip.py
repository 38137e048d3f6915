"""A GLIP of a few thousand weights whose random state finds something everywhere, and a picture."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# Random weights score about 0.1 (sqrt of the prior 0.01), so the thresholds are off.
TINY_CONFIG = '''
default_scope = 'glipkit'
model = dict(
    type='GLIP',
    max_tokens=40,
    data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[103.53, 116.28, 123.675],
                           std=[57.375, 57.12, 58.395], bgr_to_rgb=False, pad_size_divisor=32),
    backbone=dict(type='mmdet.SwinTransformer', embed_dims=8, depths=[1, 1, 1],
                  num_heads=[1, 2, 4], window_size=4, mlp_ratio=2, out_indices=(1, 2),
                  strides=(4, 2, 2)),
    neck=dict(type='DropBlockFPN', in_channels=[16, 32], out_channels=16, num_outs=3,
              drop_prob=0.0),
    text_encoder=dict(type='BertEncoder', hidden_size=16, num_layers=1, num_heads=2,
                      intermediate_size=16),
    bbox_head=dict(
        type='GLIPHead', in_channels=16, text_dim=16, num_blocks=1,
        fusion=dict(type='BiAttention', visual_dim=16, text_dim=16, embed_dim=16, num_heads=2,
                    dropout=0.1, init_gamma=1.0),
        text_layer=dict(type='BertLayer', hidden_size=16, num_heads=2, intermediate_size=16,
                        clamp=50000.),
        dyconv=dict(type='DyConv', channels=16, num_groups=4),
        strides=(8, 16, 32), anchor_scale=4),
    test_cfg=dict(score_threshold=0.0, nms_pre=20, nms_iou=0.6, max_per_image=10))
test_pipeline = [
    dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ShortSideResize', scale=(96, 64)),
    dict(type='PackGrounding')
]
'''


def write_config(folder: Path, name: str = 'tiny_test.py') -> Path:
    """Writes the tiny model's config; the stem of the file is the model's name in messages."""
    path = folder / name
    path.write_text(TINY_CONFIG, encoding='utf-8')
    return path


def picture(seed: int = 0, size: tuple[int, int] = (60, 90)) -> np.ndarray:
    """A BGR image (height, width, 3) of coarse coloured blocks."""
    height, width = size
    blocks = np.random.RandomState(seed).randint(0, 256, (4, 5, 3)).astype(np.uint8)
    image = Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(image)[..., ::-1].copy()
