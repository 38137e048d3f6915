"""A predictor in SAHI."""
from __future__ import annotations

import sys

import numpy as np
import pytest

from glipkit.apis import sahi_model as module
from glipkit.apis.predictor import Predictor
from glipkit.apis.sahi_model import sahi_model
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import picture


def test_slices_go_through_the_predictor(predictor: Predictor):
    predict = pytest.importorskip('sahi.predict')
    image = np.tile(picture()[..., ::-1], (2, 2, 1))  # 120 x 180, RGB
    everything, = predictor(picture(), ['red dog', 'cat'])
    half = float(np.median(everything.scores))
    model = sahi_model(predictor, ['red dog', 'cat'], score_threshold=half)
    assert model.confidence_threshold == half
    asked = dict(slice_height=60, slice_width=90, overlap_height_ratio=0, overlap_width_ratio=0,
                 perform_standard_pred=False, postprocess_type='NMS',
                 postprocess_match_metric='IOU', postprocess_match_threshold=1., verbose=0)
    wanted, = predictor(picture(), ['red dog', 'cat'], score_threshold=half)
    for batch in (1, 3):
        things = predict.get_sliced_prediction(image, model, batch_size=batch,
                                               **asked).object_prediction_list
        assert len(things) == 4 * len(wanted) > 0
        first = sorted(one.bbox.to_xyxy() for one in things
                       if one.bbox.maxx <= 90 and one.bbox.maxy <= 60)
        np.testing.assert_allclose(first, sorted(wanted.boxes.tolist()), atol=1e-3)
        assert {one.category.name for one in things} == set(wanted.names)
        assert {one.category.id for one in things} == set(wanted.labels.tolist())
    nothing = predict.get_prediction(image, model, confidence_threshold=1.)
    assert nothing.object_prediction_list == [] and model.confidence_threshold == half


def test_without_sahi_there_is_one_line(predictor: Predictor, monkeypatch):
    module._adapter.cache_clear()
    monkeypatch.setitem(sys.modules, 'sahi.models.base', None)
    with pytest.raises(UserError, match=r'glipkit\[sahi\]'):
        sahi_model(predictor, ['dog'])
    module._adapter.cache_clear()
