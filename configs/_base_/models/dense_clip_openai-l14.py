"""CLIPSelf with OpenAI's ViT-L/14-336, which takes images of any shape (430 M parameters)."""
_base_ = './dense_clip_eva-b16.py'
embed_dim = 768

model = dict(
    backbone=dict(
        _delete_=True, type='glipkit.ClipViT', image_size=336, patch=14, width=1024, layers=24,
        embed_dim=embed_dim),
    text_encoder=dict(width=768, heads=12, embed_dim=embed_dim, activation='quick_gelu'),
    square=False)  # the official code gives these towers an image as it is
# Of images and crops in the data sets that `--data` names.
data_sizes = dict(LongSideResize=672, CutRegions=336)
