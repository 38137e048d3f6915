"""Boxes without labels and their crops: the official data path, drawn and cut."""
from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from PIL import Image

from glipkit.data import registrations  # noqa: F401 - registers what pipelines name
from glipkit.data.formats.image_proposals import ImageProposals
from glipkit.data.mixing import MixedDataset
from glipkit.data.transforms.proposal_crops import (
    CutCrops,
    DrawProposals,
    GridProposals,
    enlarged,
    grid_cells,
    grids,
    square_crop,
)
from glipkit.errors import UserError
from glipkit.registry import TRANSFORMS
from tests import clipself_golden as golden

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None] * 255
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None] * 255
GRID = ('data_grid', 'data_grid_cut', 'data_grid_scale', 'data_grid_tall')


def pipeline(first: dict, crop: int, side: int) -> Compose:
    return Compose([TRANSFORMS.build(step) for step in (
        first, dict(type='glipkit.CutCrops', size=crop),
        dict(type='glipkit.WithProposals',
             transforms=[dict(type='glipkit.LongSideResize', size=side)]),
        dict(type='mmdet.Pad', size=(side, side)), dict(type='glipkit.PackGrounding'))])


def sample_of(picture: np.ndarray, **more) -> dict:
    return dict(img=np.ascontiguousarray(picture[..., ::-1]), img_shape=picture.shape[:2],
                ori_shape=picture.shape[:2], **more)


@pytest.mark.parametrize('name', [*GRID, 'data_proposals', 'data_proposals_empty'])
def test_images_boxes_and_crops_are_the_official_ones(name):
    meta, wanted = golden.case(name)
    picture = golden.picture(meta['picture_seed'], meta['width'], meta['height'])
    if meta['kind'] == 'grid':
        first, more = dict(type='glipkit.GridProposals', max_split=meta['max_split'], max_boxes=20,
                           crop_scale=meta['crop_scale']), {}
    else:
        boxes = [[x, y, x + w, y + h] for x, y, w, h in meta['bbox_xywh']]
        first = dict(type='glipkit.DrawProposals')
        more = dict(instances=[dict(bbox=box) for box in boxes])
    random.seed(meta['random_seed'])
    found = pipeline(first, meta['crop'], meta['det'])(sample_of(picture, **more))
    proposals = found['data_samples'].proposals
    rows = wanted['boxes'][wanted['boxes'][:, 4] > 0, :4]
    assert torch.allclose(proposals.bboxes / meta['det'], rows, atol=1e-6)
    stride = meta['stride']
    image = (found['inputs'].flip(0).float() - MEAN) / STD
    assert torch.allclose(image[:, ::stride, ::stride], wanted['image'], atol=1e-5)
    crops = (proposals.crops.flip(1).float() - MEAN) / STD
    assert torch.allclose(crops[:, :, 3::stride, 3::stride], wanted['crops'], atol=1e-5)


@pytest.mark.parametrize('name', GRID)
def test_cells_are_the_official_ones(name):
    meta, wanted = golden.case(name)
    assert [list(pair) for pair in grids(6)] == meta['choices']
    cells = grid_cells(*meta['choice_rows_cols'])
    assert np.array_equal(cells, wanted['template'].numpy())


def test_cells_tile_the_image_and_no_side_is_more_than_double():
    assert len(grids(6)) == 24 and (1, 1) in grids(6) and (1, 3) not in grids(6)
    for rows, columns in grids(6):
        cells = grid_cells(rows, columns)
        assert ((cells[:, 2:] - cells[:, :2]).prod(1).sum() == pytest.approx(1, abs=1e-6))
        assert 0.5 <= rows / columns <= 2


def test_the_far_corner_of_an_image_moves_with_the_factor_and_not_with_whole_pixels():
    """30 x 70 pixels in a square of 10: the box ends at 30 / 7, the picture at 4."""
    found = pipeline(dict(type='glipkit.GridProposals', max_split=1), 4, 10)(
        sample_of(np.full((70, 30, 3), 255, np.uint8)))
    box = found['data_samples'].proposals.bboxes[0]
    assert box.tolist() == pytest.approx([0, 0, 30 / 7, 10], abs=1e-5)
    assert found['inputs'].shape == (3, 10, 10)
    assert found['inputs'][0, 0].tolist() == [255] * 4 + [0] * 6  # black at the right


def test_a_crop_stands_in_the_middle_of_black():
    crop = square_crop(Image.new('RGB', (20, 20), (9, 8, 7)), (4., 2., 14., 7.), 10)
    assert crop.shape == (3, 10, 10) and crop[:, 2:7].min() == 7
    assert not crop[:, :2].any() and not crop[:, 7:].any()
    assert square_crop(Image.new('RGB', (5, 5)), (2., 2., 2.2, 2.4), 8).shape == (3, 8, 8)


def test_larger_crops_end_at_the_edges():
    boxes = np.array([[0., 10, 20, 20], [40, 40, 60, 60]])
    assert enlarged(boxes, 1.5, 64, 100).tolist() == [[0, 7.5, 25, 22.5], [35, 35, 64, 65]]
    assert enlarged(boxes, 1., 64, 100) is boxes


def test_boxes_of_proposals_win_and_sizes_count_in_original_pixels():
    draw = DrawProposals(min_size=4, max_size=10, crop_scale=1.)
    sample = sample_of(np.zeros((40, 41, 3), np.uint8), instances=[dict(bbox=[0, 0, 5, 5])],
                       proposals=[[1, 1, 9, 9], [0, 0, 3, 5], [0, 0, 20, 20]])
    assert draw(sample)['proposals'].tensor.tolist() == [[1, 1, 9, 9]]
    sample['proposals'] = []
    found = draw(sample)
    assert found['proposals'].tensor.tolist() == [[0, 0, 10.25, 10]]
    assert found['crop_boxes'].tolist() == [[0, 0, 10, 10]]


def test_narrow_images_are_left_out():
    sample = sample_of(np.zeros((9, 40, 3), np.uint8), crop_boxes=np.array([[0, 0, 4, 4]]))
    assert CutCrops()(sample) is None


@pytest.mark.parametrize('make, said', [
    (lambda: GridProposals(max_split=0), 'max_split'), (lambda: GridProposals(max_boxes=0), 'max'),
    (lambda: DrawProposals(crop_scale=.5), 'crop_scale'), (lambda: CutCrops(size=0), 'pixel'),
    (lambda: DrawProposals(min_size=9, max_size=8), 'min_size')])
def test_impossible_numbers_are_one_line(make, said):
    with pytest.raises(UserError, match=said):
        make()


@pytest.fixture
def images(tmp_path):
    """Two images of a COCO json, and a detector's boxes on the second."""
    for name in 'ab':
        Image.new('RGB', (40, 30), (200, 100, 50)).save(tmp_path / f'{name}.png')
    (tmp_path / 'images.json').write_text(json.dumps(dict(images=[
        dict(id=i, file_name=f'{name}.png', width=40, height=30)
        for i, name in ((3, 'a'), (7, 'b'))])))
    (tmp_path / 'found.json').write_text(json.dumps([
        dict(image_id=7, category_id=1, bbox=[1, 2, 10, 9], score=.3),
        dict(image_id=7, category_id=2, bbox=[30, 20, 50, 50], score=.9),
        dict(image_id=7, category_id=2, bbox=[5, 5, 9, 9], score=.05),
        dict(image_id=8, category_id=2, bbox=[5, 5, 9, 9], score=.5),
        dict(image_id=7, category_id=2, bbox=[5, 5, 9, 0], score=.5)]))
    return tmp_path


def test_images_with_the_boxes_of_a_detector(images):
    plain = ImageProposals('images.json', data_root=str(images))
    assert len(plain) == 2 and 'proposals' not in plain.get_data_info(0)
    found = ImageProposals('images.json', data_root=str(images), proposals='found.json',
                           score_thr=.1)
    assert found.get_data_info(0)['proposals'] == []
    assert found.get_data_info(1)['proposals'] == [[30, 20, 40, 30], [1, 2, 11, 11]]
    best = ImageProposals('images.json', data_root=str(images), proposals='found.json',
                          max_proposals=1)
    assert best.get_data_info(1)['proposals'] == [[30, 20, 40, 30]]


def test_every_draw_of_an_image_has_another_grid(images):
    source = dict(
        type='glipkit.ImageProposals', ann_file='images.json', data_root=str(images),
        pipeline=[dict(type='glipkit.LoadImage'),
                  *pipeline(dict(type='glipkit.GridProposals'), 16, 32).transforms])
    mixed = MixedDataset([source], seed=1)
    drawn = [mixed[2 * draw]['data_samples'].proposals for draw in range(6)]
    assert len({len(one) for one in drawn}) > 1
    assert all(len(one.crops) == len(one.bboxes) for one in drawn)
    assert torch.equal(mixed[0]['data_samples'].proposals.bboxes, drawn[0].bboxes)


@pytest.mark.parametrize('content, said', [
    ('{"images": []}', "'annotations'"), ('[{"image_id": 7, "bbox": [1, 2, 3]}]', 'a box as'),
    ('[{"bbox": [1, 2, 3, 4]}]', 'image_id'), ('[3]', 'image_id'),
    ('[{"image_id": 7, "bbox": [1, 2, 3, 4], "score": "x"}]', 'scores')])
def test_a_damaged_file_of_boxes_is_one_line(images, content, said):
    (images / 'found.json').write_text(content)
    with pytest.raises(UserError, match=said):
        ImageProposals('images.json', data_root=str(images), proposals='found.json')
