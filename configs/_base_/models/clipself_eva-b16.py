"""CLIPSelf's distillation of EVA-02 CLIP B/16: student and teacher, no text encoder."""
model = dict(
    type='glipkit.ClipSelfPretrainer',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        # CLIP's RGB statistics times 255; images come padded.
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        bgr_to_rgb=True,
        pad_size_divisor=1),
    # with_cp: what lies between matrix products is computed again in the backward pass.
    backbone=dict(
        type='glipkit.EvaViT', image_size=224, patch=16, width=768, layers=12, embed_dim=512,
        with_cp=True),
    crop_batch=10)
