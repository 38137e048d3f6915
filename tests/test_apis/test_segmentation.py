"""A class for every pixel: maps, windows, pictures, files, and what is refused."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.apis.segmentation import Segmentation, draw_labels
from glipkit.cli.main import main
from glipkit.data.formats.label_images import read_labels
from glipkit.errors import UserError
from glipkit.models.detectors.dense_words import window_logits
from glipkit.testing import tiny_dense_clip
from glipkit.testing.tiny_glip import TINY_CONFIG
from glipkit.text.query import Query

NAMES = ['red circle', 'blue star', 'wall']


@pytest.fixture(scope='module')
def predict(tmp_path_factory) -> Predictor:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('model')
    return Predictor(tiny_dense_clip.write_config(folder), 'random')


@pytest.fixture(scope='module')
def picture() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 255, (48, 80, 3)).astype(np.uint8)


def test_labels_and_probabilities_of_pixels(predict, picture):
    found = predict.segment(picture, NAMES)
    labels, probabilities = found
    assert labels.shape == (48, 80) and labels.dtype == np.int32
    assert probabilities.shape == (3, 48, 80) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    assert np.array_equal(probabilities.argmax(0), labels)
    np.testing.assert_array_equal(found.probability('wall'), probabilities[2])
    assert sum(found.shares().values()) == pytest.approx(1)
    # The picture is 96 pixels long in the model, six cells.
    assert found.logits.shape == (3, 4, 6) and found.rates[1] == pytest.approx(6 / 80)


def test_a_cell_of_one_class_has_it_whatever_the_size(predict):
    labels, _ = predict.segment(Image.new('RGB', (200, 120), (250, 10, 10)), ['one'])
    assert labels.shape == (120, 200) and not labels.any()


def test_one_window_is_the_whole_and_many_are_averaged(predict):
    model, query = predict.model, Query.for_classes(NAMES)
    image = torch.randn(1, 3, 90, 130, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = model.dense_logits(image, query)[0]
        assert torch.equal(window_logits(model, image, query, 144), whole)
        assert torch.equal(window_logits(model, image, query, 131), whole)
        found = window_logits(model, image, query, 'native', overlap=.5)
        # Cells 0-4 and 4-8 of 9, and 5-9 at the edge; rows 0-4 and 2-6.
        parts = {left: model.dense_logits(image[..., :64, 16 * left:16 * left + 64], query)[0]
                 for left in (0, 2, 4, 5)}
    assert found.shape == whole.shape == (3, 6, 9)
    torch.testing.assert_close(found[:, 0, 0], parts[0][:, 0, 0])
    wanted = (parts[0][:, 0, 2] + parts[2][:, 0, 0]) / 2
    torch.testing.assert_close(found[:, 0, 2], wanted)
    wanted = (parts[2][:, 0, 3] + parts[4][:, 0, 1] + parts[5][:, 0, 0]) / 3
    torch.testing.assert_close(found[:, 0, 5], wanted)


def test_a_larger_side_than_the_configs_brings_windows(predict, picture, monkeypatch):
    seen = []
    own = type(predict.model).dense_logits
    monkeypatch.setattr(type(predict.model), 'dense_logits',
                        lambda self, images, query: seen.append(tuple(images.shape[-2:]))
                        or own(self, images, query))
    found = predict.segment(picture, NAMES, long_side=192)
    assert found.logits.shape == (3, 8, 12) and found.label_map.shape == (48, 80)
    assert {max(size) for size in seen} == {96}
    seen.clear()
    assert predict.segment(picture, NAMES, long_side=48).logits.shape == (3, 2, 3)
    assert len(seen) == 1


def test_pictures(predict, picture, tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(picture).save(path)
    found = predict.segment(path, NAMES)
    drawn = found.plot()
    assert drawn.size == (80, 48) and not np.array_equal(np.asarray(drawn), picture)
    assert np.array_equal(found.plot(opacity=0.).size, drawn.size)
    with pytest.raises(UserError, match='80 x 48 pixels, as the label map'):
        found.plot(picture[:20])
    clear = draw_labels(Image.fromarray(picture), np.full((48, 80), -1), ('a', ))
    assert np.array_equal(np.asarray(clear), picture)
    many = Segmentation(np.full((2, 3), 299, np.int32), tuple(map(str, range(300))),
                        np.zeros((300, 1, 1), np.float32), (.5, .5))
    many.label_image().save(tmp_path / 'deep.png')
    assert (read_labels(tmp_path / 'deep.png') == 299).all()


def test_what_cannot_be_segmented(predict, picture, tmp_path):
    for arguments, words in (
            (dict(window=0), 'a window of whole pixels'), (dict(window='big'), 'whole pixels'),
            (dict(window=32, overlap=1.), 'an overlap from 0'),
            (dict(long_side=3), 'a long_side of at least 16'), (dict(classes=[]), 'class'),
            (dict(classes=None), 'expected class names; got none'),
            (dict(classes=None, task=''), 'expected class names; got none')):
        with pytest.raises(UserError, match=words) as caught:
            predict.segment(picture, **{'classes': NAMES, **arguments})
        assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match='one of the 3 classes'):
        predict.segment(picture, NAMES).probability('sky')
    config = tmp_path / 'tiny_glip.py'
    config.write_text(TINY_CONFIG)
    with pytest.raises(UserError, match='a model with a dense map, such as .*got a GLIP'):
        Predictor(load(config, 'random')).segment(picture, ['dog'])


def test_the_command(tmp_path, capsys, picture):
    config = tiny_dense_clip.write_config(tmp_path)
    photos = tmp_path / 'photos'
    photos.mkdir()
    for name in ('a.png', 'b.png'):
        Image.fromarray(picture).save(photos / name)
    (photos / 'c.png').write_bytes(b'no picture')
    words = ['predict', str(photos), '--config', str(config), '--checkpoint', 'random',
             '--classes', 'dog, sky', '--segment', '--out', str(tmp_path / 'out')]
    assert main([*words, '--save-images', '--long-side', '160']) == 1
    said = capsys.readouterr()
    assert 'left out' in said.err and 'c.png' in said.err and '%' in said.out
    out = tmp_path / 'out'
    assert sorted(path.name for path in out.iterdir()) == [
        'a.jpg', 'a.png', 'b.jpg', 'b.png', 'classes.txt']
    assert (out / 'classes.txt').read_text() == 'dog\nsky\n'
    assert read_labels(out / 'a.png').shape == (48, 80)
    assert main([*words, '--csv']) == 2
    assert '--segment with --classes or --task; got --csv' in capsys.readouterr().err
