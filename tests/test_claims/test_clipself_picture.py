"""The picture of a map before and after: where it is bright, and how large its file is."""
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from glipkit.claims.clipself_picture import (
    DOTS,
    PANEL,
    draw_before_after,
    first_pictures,
    similarity_maps,
)
from glipkit.claims.region_clip_scores import Things, Towers
from glipkit.errors import UserError
from glipkit.worlds import things

NAMES = ('red circle', 'blue star')


class Corner(torch.nn.Module):
    """A tower whose map holds a word in one of 4 x 4 cells, and its opposite in all others."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.place = row, column

    def dense_map(self, images: torch.Tensor) -> torch.Tensor:
        found = -torch.ones(len(images), 1, 4, 4)
        found[:, :, self.place[0], self.place[1]] = 1
        return F.pad(found, (0, 0, 0, 0, 0, 1))


class Words(Towers):
    def words(self, names):
        return torch.eye(2)[:len(names)] * 3


def towers(row: int, column: int) -> Towers:
    return Words(Corner(row, column), torch.nn.Identity(), [0.] * 3, [255.] * 3)


def test_cosines_of_cells():
    found = similarity_maps(towers(1, 2), np.zeros((32, 32, 3), np.uint8), NAMES, 64)
    assert found.shape == (2, 4, 4) and found[0, 1, 2] == 1 and found[0].sum() == -14
    assert not found[1].any()


def test_a_map_is_bright_where_it_finds_a_word(tmp_path):
    out, grey = tmp_path / 'maps.png', np.full((96, 96, 3), 128, np.uint8)
    draw_before_after(towers(3, 0), towers(0, 3), [grey], [NAMES[:1]], out)
    with Image.open(out) as file:
        sheet = np.asarray(file.convert('L')).astype(int)
    width = sheet.shape[1] // 3
    assert abs(sheet.shape[1] - 3 * PANEL * DOTS) <= 3
    for column, (rows, right) in ((1, (slice(-90, -50), False)), (2, (slice(40, 80), True))):
        panel = sheet[:, column * width + 8:(column + 1) * width - 8]
        halves = panel[rows, :50].mean(), panel[rows, -50:].mean()
        assert (halves[1] > halves[0] + 20) == right and abs(halves[1] - halves[0]) > 20


def test_a_sheet_of_a_world_is_small_and_its_pictures_are_the_first(tmp_path):
    things.build(tmp_path / 'world', num_train_det=1, num_train_grd=1, num_val=8, workers=1)
    truth = Things.read(tmp_path / 'world')
    pictures, names = first_pictures(truth)
    assert len(pictures) == 3 and all(len(set(own)) == 2 for own in names)
    assert all(set(own) <= set(truth.names) for own in names)
    out = tmp_path / 'maps.png'
    draw_before_after(towers(3, 0), towers(0, 3), pictures, names, out)
    assert out.stat().st_size < 300_000 and Image.open(out).width > 800


@pytest.mark.parametrize(('count', 'names'), [(0, []), (1, []), (1, [()]),
                                              (2, [NAMES, NAMES[:1]])])
def test_pictures_without_names_are_one_line(tmp_path, count, names):
    with pytest.raises(UserError, match='the same number of names') as caught:
        draw_before_after(towers(0, 0), towers(0, 0), [np.zeros((32, 32, 3), np.uint8)] * count,
                          names, tmp_path / 'a.png')
    assert '\n' not in str(caught.value) and not (tmp_path / 'a.png').exists()
