"""A sheet of label maps beside their images."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from glipkit.errors import UserError
from glipkit.reports.segmentation import GAP, TITLE, label_maps, plot_segmentations


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


def test_maps_of_samples():
    """Pixels as they are, masks painted by their segments; a test of boxes has none."""
    assert label_maps(DetDataSample()) == {}
    truth, found = torch.tensor([[[0, -1]]]), torch.tensor([[[0, 1]]])
    maps = label_maps(DetDataSample(gt_sem_seg=PixelData(sem_seg=truth),
                                    pred_sem_seg=PixelData(sem_seg=found)))
    assert maps['truth'].tolist() == [[0, -1]] and maps['model'].tolist() == [[0, 1]]
    ids = PixelData(ids=torch.tensor([[[7, 9, 0]]]))
    sample = DetDataSample(
        gt_segment_map=ids,
        gt_regions=InstanceData(ids=torch.tensor([9, 7]), labels=torch.tensor([3, 4])),
        pred_regions=InstanceData(labels=torch.tensor([5, 4])))
    maps = label_maps(sample)
    assert maps['truth'].tolist() == [[4, 3, -1]] and maps['model'].tolist() == [[4, 5, -1]]
    sample.given_regions = InstanceData(ids=torch.tensor([1, 2]))
    sample.given_segment_map = PixelData(ids=torch.tensor([[[2, 2, 1]]]))
    assert label_maps(sample)['model'].tolist() == [[4, 4, 5]]
