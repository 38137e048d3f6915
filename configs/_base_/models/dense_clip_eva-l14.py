"""CLIPSelf with EVA-02 CLIP L/14-336: as B/16, larger (430 M parameters)."""
_base_ = './dense_clip_eva-b16.py'
embed_dim = 768

model = dict(
    backbone=dict(image_size=336, patch=14, width=1024, layers=24, embed_dim=embed_dim),
    text_encoder=dict(width=768, heads=12, embed_dim=embed_dim))
# Of images and crops in the data sets that `--data` names.
data_sizes = dict(LongSideResize=896, CutRegions=336)
