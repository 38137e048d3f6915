"""Whole pipelines of mmdet's and our transforms, with hand-worked numbers."""
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from PIL import Image

from glipkit.data import MixedDataset

LOAD = [dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True)]
FLIP = dict(type='mmdet.RandomFlip', prob=1.)
PACK = dict(type='glipkit.PackGrounding')


def run(sources, *middle, index=7):
    return MixedDataset(sources, pipeline=[*LOAD, *middle, PACK])[index]


def test_images_are_bgr_and_boxes_those_of_the_file(two_sources, write_image):
    rgb = write_image('7.png', 92, 48, seed=7)
    packed = run(two_sources)
    assert packed['inputs'].shape == (3, 48, 92) and packed['inputs'].dtype == torch.uint8
    np.testing.assert_array_equal(packed['inputs'].permute(1, 2, 0).numpy(), rgb[..., ::-1])
    data = packed['data_samples']
    assert data.gt_instances.bboxes.tolist() == [[1, 2, 11, 12], [20, 2, 31, 32]]
    assert data.ori_shape == data.img_shape == (48, 92)
    assert data.text == 'a dog left of a cat' and data.phrases == [[(2, 5)], [(16, 19)]]


def test_flip_and_swap(two_sources):
    swap = dict(type='glipkit.SwapLeftRight')
    data = run(two_sources, FLIP, swap)['data_samples']
    # [1, 11] and [20, 31] of 92 columns: [81, 91] and [61, 72]
    assert data.gt_instances.bboxes.tolist() == [[81, 2, 91, 12], [61, 2, 72, 32]]
    assert data.text == 'a dog right of a cat'
    assert data.gt_instances.tokens_positive == [[[2, 5]], [[17, 20]]]
    assert data.flip and data.flip_direction == 'horizontal'
    assert run(two_sources, FLIP)['data_samples'].text == 'a dog left of a cat'
    names = run(two_sources, FLIP, swap, index=0)['data_samples'].text
    assert names == ('red dog', 'cat', 'traffic_light')


def test_resize_scales_boxes_and_says_by_how_much(two_sources):
    packed = run(two_sources, dict(type='glipkit.ShortSideResize', scale=(1000, 96)))
    assert packed['inputs'].shape == (3, 96, 184)
    data = packed['data_samples']
    assert data.scale_factor == (2, 2)
    assert data.gt_instances.bboxes.tolist() == [[2, 4, 22, 24], [40, 4, 62, 64]]


def test_boxes_loaded_after_the_resize_are_those_of_the_original(two_sources):
    resize = dict(type='glipkit.ShortSideResize', scale=(1000, 96))
    data = MixedDataset(two_sources, pipeline=[LOAD[0], resize, LOAD[1], PACK])[7]['data_samples']
    assert data.gt_instances.bboxes.tolist() == [[1, 2, 11, 12], [20, 2, 31, 32]]


def test_filtered_boxes_keep_their_phrases(two_sources):
    keep_tall = dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(10.5, 1))
    instances = run(two_sources, keep_tall)['data_samples'].gt_instances
    assert instances.bboxes.tolist() == [[20, 2, 31, 32]]
    assert instances.tokens_positive == [[[16, 19]]] and instances.labels.tolist() == [1]


def test_an_image_without_boxes_goes_through_everything(two_sources, train_pipeline):
    packed = MixedDataset(two_sources, pipeline=train_pipeline)[4]
    instances = packed['data_samples'].gt_instances
    assert instances.bboxes.shape == (0, 4) and instances.labels.shape == (0, )
    assert packed['inputs'].shape[1:] == packed['data_samples'].img_shape


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'P'])
def test_any_image_mode(tmp_path, mode):
    Image.new(mode, (20, 10)).save(tmp_path / 'a.png')
    results = Compose([LOAD[0], PACK])(dict(img_path=str(tmp_path / 'a.png'), text=('dog', )))
    assert results['inputs'].shape == (3, 10, 20)
