"""A sheet of label maps beside their images."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from glipkit.errors import UserError
from glipkit.reports.segmentation import GAP, TITLE, plot_segmentations


def test_a_sheet(tmp_path):
    image = Image.new('RGB', (40, 20), (200, 200, 200))
    labels = np.full((20, 40), -1)
    labels[:, 20:] = 1
    plot_segmentations([(image, dict(before=labels, after=labels * 0))], ['cat', 'dog'],
                       tmp_path / 'a.png', cell=160)
    sheet = np.asarray(Image.open(tmp_path / 'a.png'))
    assert sheet.shape == (TITLE + 160 + GAP, 3 * (160 + GAP), 3)
    assert (sheet[TITLE + 5, 5] == 200).all()  # the image
    assert (sheet[TITLE + 5, 160 + GAP + 5] == 200).all()  # no label there
    assert (sheet[TITLE + 5, 160 + GAP + 155] != 200).any()
    for rows, words in (([], 'rows with the same'),
                        ([(image, {}), (image, dict(a=labels))], 'same'),
                        ([(image, dict(a=labels[:5]))], '40 x 20 pixels, as the image')):
        with pytest.raises(UserError, match=words):
            plot_segmentations(rows, ['cat', 'dog'], tmp_path / 'b.png')
