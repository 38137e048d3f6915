"""timm towers as backbones."""
import pytest
import torch

from glipkit.models.backbones.timm_backbone import TimmBackbone


@pytest.mark.parametrize('name, channels', [('resnet10t', [128, 256]),
                                            ('test_convnext', [48, 64])])
def test_maps_have_the_channels_and_strides_it_says(name, channels):
    torch.manual_seed(0)
    backbone = TimmBackbone(name, out_indices=(2, 3)).eval()
    maps = backbone(torch.randn(2, 3, 64, 96))
    assert [m.shape[1] for m in maps] == backbone.channels == channels
    for m, stride in zip(maps, backbone.strides):
        assert m.shape[2:] == (64 // stride, 96 // stride)


def test_channels_last_models_come_out_channels_first():
    backbone = TimmBackbone('swin_tiny_patch4_window7_224', out_indices=(1, 2), img_size=64,
                            embed_dim=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)).eval()
    maps = backbone(torch.randn(1, 3, 64, 64))
    assert [m.shape[1:] for m in maps] == [(24, 8, 8), (48, 4, 4)]
