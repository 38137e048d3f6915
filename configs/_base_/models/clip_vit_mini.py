"""A CLIP with an image transformer small enough for one CPU core.

Parts, not a model: pre-training, distillation and detector put them together. Pictures of 48 pixels
are what it knows; larger ones have more patches.
"""
_base_ = './clip_mini.py'
clip_tower = dict(
    _delete_=True,
    type='glipkit.ClipViT',
    image_size=48,
    patch=8,
    width=96,
    layers=4,
    heads=4,
    embed_dim=64)
