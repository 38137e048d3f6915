"""Maps that say what their cells mean, through the pyramid to the scores."""
import torch

from glipkit.models.alignment.token_logits import MeaningAlignment
from glipkit.models.backbones.semantic import SemanticBackbone
from glipkit.models.necks.semantic_fpn import SemanticFPN

ENCODER = dict(type='BertEncoder', hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16,
               max_positions=64, dropout=0.)


def backbone():
    torch.manual_seed(0)
    return SemanticBackbone('tf_efficientnet_lite0', (3,), ENCODER).eval()


def test_cells_point_to_the_names_of_their_classes():
    model = backbone()
    names = torch.randn(1000, 8, generator=torch.Generator().manual_seed(1))
    model.class_embeddings.copy_(names)
    with torch.no_grad():  # one class takes all of the probability everywhere
        head = model.model.get_classifier()
        head.weight.zero_(), head.bias.zero_()
        head.bias[7] = 100.
        *maps, meanings = model(torch.randn(2, 3, 64, 96))
    assert [m.shape[1] for m in (*maps, meanings)] == model.channels
    assert [(64 // m.shape[2], 96 // m.shape[3]) for m in (*maps, meanings)] == \
        [(s, s) for s in model.strides]
    centre = names.mean(0)
    common = centre / centre.norm()
    wanted = (names[7] - centre) / (names[7] - centre).norm()
    wanted = wanted - wanted @ common * common
    assert torch.allclose(meanings[1, :, 0, 1], wanted / wanted.norm(), atol=1e-5)


def test_names_are_read_once(monkeypatch):
    monkeypatch.setattr('glipkit.models.backbones.semantic.ImageNetInfo.label_names',
                        lambda self: ['a', 'b', 'c'])
    model = SemanticBackbone('tf_efficientnet_lite0', (3,), ENCODER)
    model.class_embeddings = torch.zeros(3, 8)
    model.init_weights()
    read = model.class_embeddings.clone()
    assert (read.abs().sum(1) > 0).all()
    model.init_weights()
    assert torch.equal(model.class_embeddings, read)


def test_levels_carry_meanings_of_unit_length():
    torch.manual_seed(0)
    neck = SemanticFPN(semantic_channels=8, in_channels=[4, 6], out_channels=5, num_outs=3)
    meanings = torch.nn.functional.normalize(torch.randn(2, 8, 4, 6), dim=1)
    maps = [torch.randn(2, 4, 8, 12), torch.randn(2, 6, 4, 6)]
    levels = neck([*maps, meanings])
    assert [tuple(level.shape[1:]) for level in levels] == [(21, 8, 12), (21, 4, 6), (21, 2, 3)]
    assert torch.allclose(levels[1][:, 5:13], meanings, atol=1e-6)  # nothing is learned yet
    assert torch.equal(levels[1][:, 13:], meanings)
    with torch.no_grad():
        neck.refine.weight.normal_()
    assert not torch.allclose(neck([*maps, meanings])[1][:, 5:13], meanings, atol=.1)
    neck.init_weights()
    for level in neck([*maps, meanings]):
        for part in (level[:, 5:13], level[:, 13:]):
            assert torch.allclose(part.norm(dim=1), torch.ones(()), atol=1e-5)


def test_scores_are_scaled_cosines():
    align = MeaningAlignment(learned=3., original=1.)
    meanings = torch.tensor([[[1., 0.], [0., 1.]]]).repeat(1, 1, 2)
    tokens = torch.tensor([[[3., 0.], [1., 1.], [0., 0.]]])
    expected = 4 * torch.tensor([[[1., .5**.5, 0.], [0., .5**.5, 0.]]])
    assert torch.allclose(align(meanings, tokens), expected)
    align(meanings, tokens).sum().backward()
    assert align.log_scale.grad != 0
