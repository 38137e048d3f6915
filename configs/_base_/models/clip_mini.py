"""A CLIP small enough for one CPU core: the towers of RN50 with one block per stage, narrow.

Parts, not a model: pre-training and detector put them together. Images of 64 pixels give a map of
2x2 cells to pool, and so do regions.
"""
clip_tower = dict(
    type='glipkit.ClipResNet',
    layers=(1, 1, 1, 1),
    width=16,
    embed_dim=64,
    heads=4,
    image_size=64)
# Most of its weights are CLIP's 49,408 words.
clip_words = dict(type='glipkit.ClipTextEncoder', width=64, heads=4, layers=2, embed_dim=64)
clip_input = dict(
    type='mmdet.DetDataPreprocessor',
    mean=[122.7709, 116.7460, 104.0937],
    std=[68.5005, 66.6322, 70.3232],
    bgr_to_rgb=True)
