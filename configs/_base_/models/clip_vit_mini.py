"""A CLIP with an image transformer small enough for one CPU core.

Parts, not a model: pre-training, distillation and detector put them together. Pictures of 48 pixels
are what it knows; larger ones have more patches. Six layers: with four, the last ones still take
the colour of a thing straight from its patches, whose map then knows it without any distillation.
"""
_base_ = './clip_mini.py'
clip_tower = dict(
    _delete_=True,
    type='glipkit.ClipViT',
    image_size=48,
    patch=8,
    width=96,
    layers=6,
    heads=4,
    embed_dim=64)
