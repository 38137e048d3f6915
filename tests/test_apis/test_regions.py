"""Boxes of the caller: scores, features, and what is refused."""
from __future__ import annotations

import copy
import math
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from glipkit.apis.given_boxes import check_boxes
from glipkit.apis.predictor import Predictor
from glipkit.errors import UserError
from glipkit.testing import tiny_clip_rcnn
from glipkit.testing.tiny_glip import picture

NAMES = ['red dog', 'Cat_(small)', 'traffic light']
BOXES = [[0, 0, 30, 40], [10.5, 5, 90, 60]]


@pytest.fixture(scope='module')
def regions(tmp_path_factory) -> Predictor:
    config = tiny_clip_rcnn.write_config(tmp_path_factory.mktemp('configs'))
    torch.manual_seed(0)
    return Predictor(config, 'random', score_threshold=0.)


def test_scores_of_boxes(regions):
    scores = regions.classify(picture(), BOXES, NAMES)
    assert scores.shape == (2, 3) and scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    # Order of boxes and of classes is the caller's.
    other = regions.classify(picture(), BOXES[::-1], NAMES[::-1])
    np.testing.assert_allclose(other, scores[::-1, ::-1], atol=1e-5)
    alone = regions.classify(picture(), BOXES[:1], NAMES)
    np.testing.assert_allclose(alone, scores[:1], atol=1e-5)


def test_scores_are_cosines_of_the_features(regions):
    features = torch.from_numpy(regions.region_features(picture(), BOXES))
    text = regions.model.text_features(['red dog', 'Cat small', 'traffic light'])
    logits = torch.nn.functional.cosine_similarity(features[:, None], text[None], dim=2) / 0.01
    np.testing.assert_allclose(regions.classify(picture(), BOXES, NAMES), logits.softmax(1),
                               atol=1e-4)


def test_boxes_are_in_the_frame_of_the_image_as_it_was_given(regions, tmp_path):
    """The pipeline resizes 60 x 90 to 64 x 96: the whole image stays the whole image."""
    Image.fromarray(picture()[..., ::-1]).save(tmp_path / 'a.png')
    ours = regions.region_features(tmp_path / 'a.png', [[0, 0, 90, 60]])
    item = regions.prepare(*_source(tmp_path / 'a.png'))
    batch = regions.model.data_preprocessor(dict(
        inputs=[item.packed['inputs']], data_samples=[item.packed['data_samples']]), False)
    with torch.no_grad():
        wanted, = regions.model.region_features(batch['inputs'],
                                                [torch.tensor([[0., 0, 96, 64]])])
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


def _source(path):
    from glipkit.apis.images import list_images
    from glipkit.text.query import Query
    return list_images(path)[0], Query.for_classes(()), ()


def test_no_box_and_the_models_own(regions):
    assert regions.classify(picture(), [], NAMES).shape == (0, 3)
    assert regions.region_features(picture(), np.zeros((0, 4))).shape == (0, 64)
    assert len(regions.region_features(picture())) > 5


def test_classes_that_were_set_and_templates(regions):
    other = Predictor(regions.model, score_threshold=0.)
    other.set_classes(NAMES)
    scores = regions.classify(picture(), BOXES, NAMES)
    np.testing.assert_array_equal(other.classify(picture(), BOXES), scores)
    written = regions.classify(picture(), BOXES, NAMES, templates=['a photo of a {}.'])
    assert not np.allclose(written, scores)
    with pytest.raises(UserError, match='expected class names; got none'):
        regions.classify(picture(), BOXES)


def test_templates_by_name(regions):
    by_name = regions.classify(picture(), BOXES, NAMES, templates='name')
    np.testing.assert_array_equal(
        by_name, regions.classify(picture(), BOXES, NAMES, templates=['{}']))
    with pytest.raises(UserError, match='a set of templates'):
        regions.classify(picture(), BOXES, NAMES, templates='no such set')


@pytest.mark.parametrize('boxes, match', [
    ([[0, 0, math.nan, 5]], 'finite'), ([[5, 5, 5, 9]], 'x1 < x2'), ([[9, 5, 5, 9]], 'x1 < x2'),
    ([[100, 5, 120, 9]], 'inside the image of 90 x 60'), ([[-9, -9, 0, 0]], 'inside the image'),
    ([1, 2, 3, 4], r'\(N, 4\)'), ([[1, 2, 3]], r'\(N, 4\)'), ('words', r'\(N, 4\)'),
    ([[1, 2, 3, 4], [1, 2]], r'\(N, 4\)')])
def test_boxes_that_cannot_be_used(regions, boxes, match):
    for ask in (lambda: regions.classify(picture(), boxes, NAMES),
                lambda: regions.region_features(picture(), boxes)):
        with pytest.raises(UserError, match=match) as caught:
            ask()
        assert '\n' not in str(caught.value)


def test_a_box_beyond_an_edge_is_cut_off():
    cut = check_boxes(torch.tensor([[-5., 2, 100, 70]]), (60, 90), 'a.jpg')
    assert cut.tolist() == [[0, 2, 90, 60]] and cut.dtype == np.float32


def test_a_detector_that_finds_boxes_itself_refuses(predictor):
    for ask in (lambda: predictor.classify(picture(), BOXES, NAMES),
                lambda: predictor.region_features(picture(), BOXES)):
        with pytest.raises(UserError, match='a model that reads regions'):
            ask()


def test_one_image_at_a_time(regions):
    with pytest.raises(UserError, match='one image'):
        regions.classify([picture(), picture()], BOXES, NAMES)


def test_the_predictor_finds_and_names(regions):
    found, = regions(picture(), classes=NAMES)
    assert len(found) and set(found.names) <= set(NAMES) and found.size == (60, 90)
    phrases, = regions(picture(), caption='a man walks two dogs')
    assert set(phrases.names) <= {'a man', 'two dogs'}


def test_other_precisions(regions):
    expected = regions.classify(picture(), BOXES, NAMES)
    double = Predictor(copy.deepcopy(regions.model).double(), score_threshold=0.)
    np.testing.assert_allclose(double.classify(picture(), BOXES, NAMES), expected, atol=1e-3)
    assert len(double(picture(), classes=NAMES)[0])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert len(regions(picture(), classes=NAMES)[0])
        half = regions.classify(picture(), BOXES, NAMES)
    np.testing.assert_allclose(half.sum(1), 1, atol=1e-5)


def test_threads_may_share_a_predictor(regions):
    lists = [[f'{word} {i}' for word in ('red', 'blue')] for i in range(6)]
    alone = [regions.classify(picture(), BOXES, names) for names in lists]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda names: regions.classify(picture(), BOXES, names), lists))
    for one, other in zip(alone, together):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_a_named_model_works_at_once():
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        predict = Predictor('regionclip-rn50', 'random')
    image = picture(size=(32, 48))
    assert predict.region_features(image, [[0, 0, 20, 20]]).shape == (1, 1024)
    scores = predict.classify(image, [[0, 0, 20, 20]], ['dog', 'cat'], templates=['a {}.'])
    np.testing.assert_allclose(scores.sum(), 1, atol=1e-5)
