"""Scores of maps and crops, on numbers worked by hand and on a constant picture."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from glipkit.claims.clipself_scores import (
    attended_features,
    centred,
    crop_features,
    region_features,
    retrieval,
    top1,
)
from glipkit.claims.region_clip_scores import Things, Towers
from glipkit.models.backbones.clip_vit import ClipViT
from glipkit.models.backbones.eva_vit import EvaViT


def test_regions_and_crops_come_picture_by_picture():
    torch.manual_seed(0)
    tower = EvaViT(image_size=16, patch=8, width=8, layers=2, heads=1, embed_dim=4).eval()
    towers = Towers(tower, torch.nn.Identity(), [0.] * 3, [255.] * 3)
    pictures = [np.full((32, 32, 3), value, np.uint8) for value in (0, 200)]
    boxes = [np.array([[0., 0, 16, 16], [8, 8, 32, 32]]), np.array([[4., 4, 20, 12]])]
    things = Things(pictures, boxes, [np.array([0, 1]), np.array([1])], ('a', 'b'))
    for found in (crop_features(towers, things), region_features(towers, things, 64, batch=1)):
        assert found.shape == (3, 4) and torch.allclose(found.norm(dim=1), torch.ones(3))
    assert torch.allclose(region_features(towers, things, 64),
                          region_features(towers, things, 64, batch=1), atol=1e-5)


def test_a_map_with_attention_in_its_last_layer(monkeypatch):
    torch.manual_seed(0)
    tower = ClipViT(image_size=16, patch=8, width=8, layers=2, heads=1, embed_dim=4).eval()
    towers = Towers(tower, torch.nn.Identity(), [0.] * 3, [255.] * 3)
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    things = Things([picture], [np.array([[0., 0, 16, 16], [8, 8, 32, 32]])], [np.zeros(2, int)],
                    ('a', ))
    found = attended_features(towers, things, 32)
    assert not torch.allclose(found, region_features(towers, things, 32), atol=1e-3)
    last = tower.layers[-1]
    monkeypatch.setattr(last, 'values', lambda tokens: last(tokens)[0])
    assert torch.allclose(found, region_features(towers, things, 32), atol=1e-6)


def test_top1_retrieval_and_centred_by_hand():
    eye = torch.eye(4)
    assert top1(eye, 3 * eye, np.array([0, 1, 2, 0])) == pytest.approx(75)
    assert retrieval(eye, eye, count=4, draws=3) == 1
    assert retrieval(eye, eye.roll(1, 0), count=4, draws=3) == 0
    found = centred(torch.tensor([[1., 1], [1, 3]]))
    assert torch.allclose(found, torch.tensor([[0., -1], [0, 1]]))
