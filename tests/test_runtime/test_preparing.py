"""Pixels become the tensor that the model's own pipeline makes of them."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import glipkit
from glipkit.apis.images import list_images
from glipkit.export.description import describe
from glipkit.export.question import make_question
from glipkit.export.settings import ExportSettings
from glipkit.runtime.model import _read
from glipkit.runtime.preparing import prepare
from glipkit.testing import tiny_clip_rcnn, tiny_glip

SIZES = [(60, 90), (64, 96), (101, 37), (300, 400)]


@pytest.fixture(scope='module', params=[tiny_glip, tiny_clip_rcnn])
def model(request, tmp_path_factory):
    """A predictor, and what an export says of images."""
    found = glipkit.load(request.param.write_config(tmp_path_factory.mktemp('config')), 'random')
    question = make_question(found, ['dog'], None)
    form = found.tensor_form(question.query)
    return glipkit.Predictor(found), describe(question, form, ExportSettings(), ()).image


@pytest.mark.parametrize('size', SIZES)
def test_as_the_predictor(model, size):
    predictor, image = model
    pixels = tiny_glip.picture(1, size)
    source, = list_images(pixels)
    packed = predictor.prepare(source, make_question(predictor.model, ['a'], None).query, ()).packed
    data = predictor.model.data_preprocessor(
        dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]), False)
    item = prepare(pixels, image, None)
    np.testing.assert_array_equal(item.tensor, data['inputs'])
    sample = packed['data_samples']
    assert item.size == sample.img_shape and item.scale == sample.scale_factor


@pytest.mark.parametrize('name', ['a.png', 'a.jpg'])
def test_files_are_read_as_by_the_predictor(model, name, tmp_path):
    predictor, _ = model
    picture = Image.fromarray(tiny_glip.picture(2, (50, 70))[..., ::-1])
    exif = picture.getexif()
    exif[0x0112] = 6  # lies on its side
    picture.save(tmp_path / name, exif=exif)
    load, _ = predictor._pipelines
    expected = load({'img_path': str(tmp_path / name), 'img_id': 0})['img']
    np.testing.assert_array_equal(_read(tmp_path / name, 'bgr')[1], expected)


def test_a_fixed_size():
    image = dict(channels='bgr', mean=[10., 20, 30], std=[1., 2, 4], divisor=32,
                 resize=dict(rule='short_side', short=64, long=96, interpolation='bilinear'))
    pixels = np.full((64, 80, 3), 40, np.uint8)
    item = prepare(pixels, image, (64, 96))
    assert item.tensor.shape == (1, 3, 64, 96) and item.size == (64, 80)
    assert item.tensor[0, :, 0, 79].tolist() == [30, 10, 2.5]
    assert item.tensor[0, :, 0, 80].tolist() == [0, 0, 0]
    black = prepare(pixels, image, (64, 96), 'black').tensor
    assert black[0, :, 0, 80].tolist() == [-10, -10, -7.5]
    # What the model's own rule would make too large is made smaller, in proportion.
    tall = prepare(np.zeros((128, 64, 3), np.uint8), image, (64, 96))
    assert tall.size == (64, 32) and tall.scale == (.5, .5)
