"""A CLIP with an image transformer small enough for one CPU core.

Parts, not a model: pre-training, distillation and detector put them together. Pictures of 48 pixels
are what it knows; larger ones have more patches. Six layers: with four, colours stayed readable in
the patches, and the map named 7.9 % of 42 without any distillation (one training).
"""
clip_tower = dict(
    type='glipkit.ClipViT',
    image_size=48,
    patch=8,
    width=96,
    layers=6,
    heads=4,
    embed_dim=64)
# Words and pixels as in clip_mini.py.
clip_words = dict(type='glipkit.ClipTextEncoder', width=64, heads=4, layers=2, embed_dim=64)
clip_input = dict(
    type='mmdet.DetDataPreprocessor',
    mean=[122.7709, 116.7460, 104.0937],
    std=[68.5005, 66.6322, 70.3232],
    bgr_to_rgb=True)
