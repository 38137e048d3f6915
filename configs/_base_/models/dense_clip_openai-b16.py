"""CLIPSelf with OpenAI's ViT-B/16, which takes images of any shape (150 M parameters)."""
_base_ = './dense_clip_eva-b16.py'

model = dict(
    backbone=dict(_delete_=True, type='glipkit.ClipViT'),
    text_encoder=dict(activation='quick_gelu'),
    square=False)  # the official code gives these towers an image as it is
