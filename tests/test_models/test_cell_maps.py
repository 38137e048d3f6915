"""Scores of cells at the pixels of an image."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from glipkit.models.alignment import cell_maps
from glipkit.models.alignment.cell_maps import pixel_labels, pixel_probabilities


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))


def test_bilinear_as_torch_has_it(logits, monkeypatch):
    wanted = F.interpolate(logits[None], (24, 32), mode='bilinear', align_corners=False)[0]
    found = pixel_probabilities(logits, (24, 32), (1 / 8, 1 / 8))
    torch.testing.assert_close(found, wanted.softmax(0), atol=1e-6, rtol=0)
    labels = pixel_labels(logits, (24, 32), (1 / 8, 1 / 8))
    assert labels.dtype == torch.int32 and torch.equal(labels, wanted.argmax(0).int())
    monkeypatch.setattr(cell_maps, 'BAND', 1)  # one row at a time
    bands = [band.argmax(0) for band in cell_maps._bands(logits, (24, 32), (1 / 8, 1 / 8))]
    assert torch.equal(torch.cat(bands), wanted.argmax(0))
    found = pixel_probabilities(logits, (7, 32), (1 / 8, 1 / 8), top=17)
    torch.testing.assert_close(found, wanted.softmax(0)[:, 17:], atol=1e-6, rtol=0)


def test_labels_of_maps_finer_than_the_picture():
    logits = torch.randn(30, 20, 31, generator=torch.Generator().manual_seed(1))
    wanted = pixel_probabilities(logits, (9, 50), (20 / 9, 31 / 50)).argmax(0)
    assert torch.equal(pixel_labels(logits, (9, 50), (20 / 9, 31 / 50)), wanted.int())


def test_pixels_need_not_fill_the_last_cell(logits):
    whole = pixel_probabilities(logits, (24, 32), (1 / 8, 1 / 8))
    part = pixel_probabilities(logits, (17, 30), (1 / 8, 1 / 8))
    torch.testing.assert_close(part, whole[:, :17, :30])


def test_the_first_of_equal_labels_and_no_pixels():
    assert not pixel_labels(torch.zeros(3, 1, 1), (4, 5), (.1, .1)).any()
    assert pixel_labels(torch.zeros(3, 1, 1), (0, 5), (.1, .1)).shape == (0, 5)
