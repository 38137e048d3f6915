"""Detectors as functions of tensors say what their own prediction says."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from glipkit.apis.build import build_model
from glipkit.engine.transfer.strategy import Overrides
from glipkit.engine.transfer.view import task_view
from glipkit.errors import UserError
from glipkit.models.backbones.swin import SwinTransformer
from glipkit.models.kernels.forms import traceable_view
from glipkit.models.tensor_form import Suppressed
from glipkit.runtime.rules import detections, in_original, settled
from glipkit.testing import tiny_clip_rcnn, tiny_dense_clip, tiny_fvit, tiny_glip
from glipkit.text.prompts import class_prompt
from glipkit.text.query import Query
from tests.toys import two_stage  # noqa: F401 registers it

NAMES = ('red circle', 'a blue star', 'striped square', 'white cat', 'black dog', 'a green ring',
         'something long that fills a whole prompt beside the others, as it has many words',
         'the last one of them')
IMAGE = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
REGIONS = torch.tensor([[4., 4, 30, 40], [0, 0, 96, 64], [50, 10, 90, 60], [8, 8, 20, 20]])


def build(module):
    torch.manual_seed(0)
    model = build_model(Config.fromstring(module.TINY_CONFIG, '.py')).eval()
    model.test_settings = replace(model.test_settings, score_threshold=0.)
    return model.requires_grad_(False)


@pytest.fixture(scope='module', params=[tiny_glip, tiny_clip_rcnn, tiny_dense_clip, tiny_fvit],
                ids=lambda module: module.__name__.rpartition('.')[2])
def model(request):
    return build(request.param)


QUERIES = [Query.for_classes(NAMES), Query.for_classes(
    NAMES[:6], synonyms={NAMES[1]: NAMES[6:7], NAMES[4]: ['hound', 'dark dog']},
    negative_classes=NAMES[7:], exclusive=[NAMES[:2], NAMES[2:6]], combine='mean')]


def predicted(model, inputs, query):
    """What the detector finds, and the sample of the image."""
    size = (64, 96) if inputs else (60, 90)  # a region's model is shown no padding
    sample = DetDataSample(metainfo=dict(query.as_fields(), img_shape=size, scale_factor=(.5, .5),
                                         ori_shape=tuple(2 * side for side in size)))
    if inputs:
        sample.proposals = InstanceData(bboxes=REGIONS.clone())
    found, = model(IMAGE, [sample], mode='predict')
    return found.pred_instances, sample


@pytest.mark.parametrize('query', QUERIES, ids=['names', 'parts'])
def test_equals_prediction(model, query):
    form = model.tensor_form(query)
    assert form.open is not bool(query.synonyms)
    expected, sample = predicted(model, form.inputs, query)
    given = [REGIONS] if form.inputs else []
    results = form(IMAGE, *given, *form.words.values())
    outputs = {name: value.numpy() for name, value in zip(form.outputs, results)}
    found = in_original(detections(outputs, form.rules, form.starts.tolist(), sample.img_shape),
                        form.rules, sample.scale_factor, sample.ori_shape)
    found = settled(found, len(query.classes), query.groups)
    assert len(found.scores) == len(expected) > (0 if query.exclusive else 5)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.boxes, expected.bboxes, atol=1e-3)


@pytest.mark.parametrize('query', QUERIES, ids=['names', 'parts'])
def test_suppression_in_the_graph(model, query):
    form = model.tensor_form(query)
    given = [REGIONS] if form.inputs else []
    results = form(IMAGE, *given, *form.words.values())
    outputs = {name: value.numpy() for name, value in zip(form.outputs, results)}
    expected = detections(outputs, form.rules, form.starts.tolist(), (60, 90))
    boxes, scores, labels = Suppressed(form)(IMAGE, torch.tensor([60, 90]), *given,
                                             *form.words.values(), form.starts)
    np.testing.assert_allclose(scores, expected.scores, atol=1e-6)
    np.testing.assert_array_equal(labels, expected.labels)
    np.testing.assert_allclose(boxes, expected.boxes, atol=1e-4)


def test_long_lists_are_several_prompts_in_one_graph():
    form = build(tiny_glip).tensor_form(Query.for_classes(NAMES))
    assert len(form.starts) > 1 and form.words['hidden'].shape[0] == len(form.starts)
    counts = form.words['token_map'].any(2).sum(1)
    assert counts.sum() == len(NAMES) and form.starts.tolist() == [0, *counts.cumsum(0)[:-1]]


def test_labels_of_a_prompt_need_not_follow_each_other():
    model = build(tiny_glip)
    first, second = model.prompts(Query.for_classes(NAMES[:2])), class_prompt(
        ['a cup'], labels=[1])
    model.prompts = lambda query: (replace(first[0], labels=(0, 2)), second)
    query = Query.for_classes([NAMES[0], 'a cup', NAMES[1]])
    form = model.tensor_form(query)
    assert form.labels.tolist() == [[0, 2], [1, 1]] and not form.open
    expected, _ = predicted(model, form.inputs, query)
    results = form(IMAGE, *form.words.values())
    outputs = {name: value.numpy() for name, value in zip(form.outputs, results)}
    found = detections(outputs, form.rules, form.starts.tolist(), (60, 90))
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert set(found.labels.tolist()) == {0, 1, 2}
    _, _, labels = Suppressed(form)(IMAGE, torch.tensor([60, 90]), *form.words.values(),
                                    form.starts)
    np.testing.assert_array_equal(labels, found.labels)


def test_a_view_leaves_the_model_as_it_is():
    model = build(tiny_glip)
    view = traceable_view(model)
    forms = [(m.traceable, v.traceable) for m, v in zip(model.modules(), view.modules())
             if hasattr(m, 'traceable')]
    assert forms and set(forms) == {(False, True)}
    assert all(a is b for a, b in zip(model.parameters(), view.parameters()))
    assert [*dict(model.named_modules())] == [*dict(view.named_modules())]


@pytest.mark.parametrize('size', [(32, 48), (44, 36), (21, 27)])
def test_swin_with_all_windows_at_once(size):
    torch.manual_seed(0)
    swin = SwinTransformer(embed_dims=8, depths=[2, 2], num_heads=[1, 2], window_size=4,
                           mlp_ratio=2, out_indices=(0, 1), strides=(4, 2))
    swin.eval()
    torch.nn.init.normal_(swin.stages[0].blocks[1].attn.w_msa.relative_position_bias_table)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        for fast, whole in zip(swin(image), traceable_view(swin)(image), strict=True):
            torch.testing.assert_close(fast, whole, atol=1e-5, rtol=1e-5)


def test_models_without_a_form_say_so():
    toy = build_model(Config(dict(model=dict(
        type='TwoStage', text_encoder=dict(type='SentenceEncoder')))))
    with pytest.raises(UserError, match='expected a model that can be exported; got a TwoStage'):
        toy.tensor_form(Query.for_classes(NAMES))


def test_what_was_learned_not_to_be_found_takes_from_learned_names_alone():
    model = build(tiny_glip)
    query = Query.for_classes([NAMES[0], 'our part'])
    prompt, = model.example_prompts(['our part'], ['not our part'])
    torch.manual_seed(5)
    rows = torch.randn(model.tokenize([prompt]).ids.numel(), model.text_encoder.hidden_size)
    view = task_view(model, Overrides(children=model.learned_parts([prompt], [rows])))
    assert view.learned_labels(query) == ((1, ), 2) and model.learned_labels(query) == ((), None)
    expected, sample = predicted(view, (), query)
    form = view.tensor_form(query)
    outputs = {name: value.numpy() for name, value in zip(form.outputs, form(
        IMAGE, *form.words.values()))}
    found = in_original(detections(outputs, form.rules, form.starts.tolist(), sample.img_shape),
                        form.rules, sample.scale_factor, sample.ori_shape)
    kept = settled(found, 2, (), *view.learned_labels(query))
    np.testing.assert_array_equal(kept.labels, expected.labels)
    np.testing.assert_allclose(kept.scores, expected.scores, atol=1e-5)
    assert set(found.labels.tolist()) == {0, 1, 2} and set(kept.labels.tolist()) == {0, 1}
    assert len(kept.labels) > len(settled(found, 2, ()).labels)
