import io

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from glipkit.apis.images import to_rgb
from glipkit.data import LoadImage
from glipkit.data.checking.images import decode
from glipkit.data.formats.tar_shards import FileSlice
from glipkit.data.transforms.loading import is_plain_jpeg, load_image
from glipkit.errors import UserError


def encoded(kind, mode='RGB', orientation=None):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, **(dict(exif=exif) if orientation else {}))
    return buffer.getvalue()


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
@pytest.mark.parametrize('content', [
    encoded('jpeg'), encoded('jpeg', orientation=6), encoded('jpeg', 'L'), encoded('jpeg', 'CMYK'),
    encoded('png', 'P'), encoded('png', 'RGBA'), encoded('png')])
def test_bytes_give_what_the_file_gives(tmp_path, content, backend):
    path = tmp_path / 'a'
    path.write_bytes(content)
    (tmp_path / 'all').write_bytes(b'before' + content + b'after')
    expected = LoadImageFromFile(imdecode_backend=backend)(dict(img_path=str(path)))
    load = LoadImage(imdecode_backend=backend)
    for sample in (dict(img_path=str(path)), dict(img_path='?', img_bytes=content),
                   dict(img_path='?', img_bytes=FileSlice(str(tmp_path / 'all'), 6,
                                                          6 + len(content)))):
        loaded = load(sample)
        assert loaded['img'].dtype == np.uint8
        np.testing.assert_array_equal(loaded['img'], expected['img'])
        assert loaded['img_shape'] == expected['img_shape'] == loaded['ori_shape']
        assert 'img_bytes' not in loaded


def deep(kind, dtype=np.uint16, factor=257, **options):
    grey = np.arange(60 * 40).reshape(40, 60) % 256
    buffer = io.BytesIO()
    Image.fromarray((grey * factor).astype(dtype)).save(buffer, kind, **options)
    return grey, buffer.getvalue()


GREYS = {'png': deep('png'), 'tiff': deep('tiff'), 'big endian tiff': deep('tiff', '>u2'),
         'ppm': deep('ppm', np.int32)}


@pytest.mark.parametrize('step', [LoadImage(), LoadImage('fast'), LoadImage('cv2'),
                                  LoadImageFromFile(imdecode_backend='pillow'),
                                  LoadImageFromFile(imdecode_backend='cv2'),
                                  LoadImageFromFile(imdecode_backend='cv2',
                                                    color_type='unchanged')])
@pytest.mark.parametrize('kind', GREYS)
def test_greys_of_16_bits_are_scaled(tmp_path, kind, step):
    grey, content = GREYS[kind]
    path = tmp_path / f'a.{kind[-3:]}'
    path.write_bytes(content)
    image = load_image(step, dict(img_path=str(path)))['img']
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image.reshape(40, 60, -1)[..., 0], grey)
    assert image.shape[2:] in ([()] if step.color_type == 'unchanged' else [(3, )])
    pil = np.asarray(to_rgb(Image.open(path), 'a'))
    np.testing.assert_array_equal(pil, np.repeat(grey[..., None], 3, 2))


def test_greys_of_16_bits_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    grey, content = deep('png', exif=exif)
    image = LoadImage()(dict(img_bytes=content))['img']
    np.testing.assert_array_equal(image[..., 0], np.rot90(grey, -1))


@pytest.mark.parametrize('dtype, factor', [(np.float32, 1 / 255), (np.int32, 1)])
def test_pixels_of_an_unknown_range_are_refused(tmp_path, dtype, factor):
    _, content = deep('tiff', dtype, factor)
    (tmp_path / 'a.tif').write_bytes(content)
    for step in (LoadImage(), LoadImageFromFile(imdecode_backend='pillow')):
        with pytest.raises(ValueError, match='32 bits'):
            load_image(step, dict(img_path=str(tmp_path / 'a.tif')))
    with pytest.raises(UserError, match='32 bits'):
        to_rgb(Image.open(tmp_path / 'a.tif'), 'a.tif')
    assert decode(str(tmp_path / 'a.tif')).problem == 'unreadable_image'


def test_the_default_is_pillow_and_upright():
    loaded = LoadImage()(dict(img_bytes=encoded('jpeg', orientation=6)))
    assert loaded['img'].shape == (60, 40, 3)
    assert LoadImage().imdecode_backend == 'pillow'


@pytest.mark.parametrize('backend', ['pillow', 'cv2', 'fast'])
@pytest.mark.parametrize('content', [b'', b'no image', encoded('jpeg')[:300]])
def test_damaged_bytes_raise(content, backend):
    if backend == 'cv2' and len(content) > 100:
        pytest.skip('OpenCV fills what is missing with grey')
    with pytest.raises(Exception):  # noqa: B017 - each decoder has its own; the dataset tells
        LoadImage(imdecode_backend=backend)(dict(img_bytes=content))


def test_float_images():
    loaded = LoadImage(to_float32=True)(dict(img_bytes=encoded('png')))
    assert loaded['img'].dtype == np.float32


def photo(**options):
    """A JPEG with smooth parts and edges, saved with Pillow's options."""
    y, x = np.mgrid[:61, :83]
    waves = [128 + 100 * np.sin(x / a + y / b) for a, b in ((5, 9), (17, 4), (3, 30))]
    pixels = np.stack(waves, -1).astype(np.uint8)
    pixels[20:30, 10:50] = (250, 10, 10)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'jpeg', **options)
    return buffer.getvalue()


@pytest.mark.parametrize('options', [
    dict(quality=60), dict(quality=95, subsampling=0), dict(subsampling=1), dict(subsampling=2),
    dict(progressive=True), dict(optimize=True, quality=100)])
def test_fast_decoding_gives_the_pixels_of_pillow(options):
    content = photo(**options)
    assert is_plain_jpeg(content)
    fast = LoadImage(imdecode_backend='fast')(dict(img_bytes=content))['img']
    slow = LoadImage(imdecode_backend='pillow')(dict(img_bytes=content))['img']
    # Equal with the libraries at hand; two releases of libjpeg-turbo may round differently.
    assert np.abs(fast.astype(int) - slow).max() <= 1


@pytest.mark.parametrize('content', [
    b'', b'\xff\xd8', b'\xff\xd8\xff\xd9', photo()[:-2], photo()[:100], photo() + b'\0',
    encoded('jpeg', 'L'), encoded('jpeg', 'CMYK'), encoded('jpeg', orientation=6), encoded('png')])
def test_what_is_no_plain_jpeg_goes_to_pillow(content):
    assert not is_plain_jpeg(content)
