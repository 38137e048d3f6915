"""Recorded calls: when a recording is made, and what makes it useless. The recorder is a stand-in
that calls the function again on the same tensors, as a replay does on a GPU."""
import copy
import gc

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import nn

import glipkit
from glipkit.apis.build import build_model
from glipkit.errors import UserError
from glipkit.models.kernels.graphs import RecordedCalls, Recording
from glipkit.models.kernels.tables import remembered, used_tables
from glipkit.testing import tiny_glip


class Recorder:
    def __init__(self):
        self.made = 0

    def __call__(self, function, inputs):
        self.made += 1
        outputs = [out.clone() for out in function(*inputs)]

        def replay():
            for out, new in zip(outputs, function(*inputs)):
                out.copy_(new)

        return Recording(replay, outputs)


@pytest.fixture
def calls():
    recorder = Recorder()
    calls = RecordedCalls(most=3, record=recorder)
    calls.recorder = recorder
    return calls


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def test_one_recording_for_each_kind_of_arguments(calls):
    layer = nn.Linear(3, 2)
    forward = lambda x: [layer(x)]  # noqa: E731
    first = torch.randn(4, 3)
    for x in (first, torch.randn(4, 3), torch.randn(5, 3), torch.randn(4, 3)):
        torch.testing.assert_close(calls(layer, forward, x)[0], layer(x))
    assert calls.recorder.made == 2
    with torch.autocast('cpu', torch.bfloat16):
        assert calls(layer, forward, first)[0].dtype == torch.bfloat16
    assert calls.recorder.made == 3 and len(calls) == 3
    calls(layer, forward, torch.randn(6, 3))
    assert calls.recorder.made == 4 and len(calls) == 3  # the oldest is gone
    calls(layer, forward, torch.randn(4, 3))
    assert calls.recorder.made == 4


def test_results_are_the_callers_own(calls):
    layer = nn.Linear(3, 2)
    forward = lambda x: [layer(x)]  # noqa: E731
    x = torch.randn(4, 3)
    found, = calls(layer, forward, x)
    kept = found.clone()
    calls(layer, forward, x * 2)[0].zero_()
    assert torch.equal(found, kept) and torch.equal(calls(layer, forward, x)[0], kept)


def test_weights_count_where_they_are(calls):
    layer, x = nn.Linear(3, 2), torch.randn(4, 3)
    forward = lambda x: [layer(x)]  # noqa: E731
    calls(layer, forward, x)
    layer.weight.mul_(2)
    torch.testing.assert_close(calls(layer, forward, x)[0], layer(x))
    assert calls.recorder.made == 1
    layer.weight = nn.Parameter(layer.weight * 3)
    torch.testing.assert_close(calls(layer, forward, x)[0], layer(x))
    assert calls.recorder.made == 2 and len(calls) == 1


def test_another_module_has_recordings_of_its_own(calls):
    x = torch.randn(4, 3)
    for _ in range(3):
        layer = nn.Linear(3, 2)
        found, = calls(layer, lambda x, layer=layer: [layer(x)], x)
        torch.testing.assert_close(found, layer(x))
        del layer
        gc.collect()
    assert calls.recorder.made == 3


def test_copies_begin_without_recordings(calls):
    layer = nn.Linear(3, 2)
    calls(layer, lambda x: [layer(x)], torch.randn(4, 3))
    assert len(copy.deepcopy(calls)) == 0


def test_what_cannot_be_recorded_is_one_clear_error():
    def record(function, inputs):
        raise RuntimeError('CUDA error: operation not permitted when stream is capturing\nmore')

    with pytest.raises(UserError, match='recorded as a graph.*not permitted') as caught:
        RecordedCalls(record=record)(nn.Linear(1, 1), lambda x: [x], torch.zeros(1))
    assert '\n' not in str(caught.value)


def test_tables_that_a_recording_reads_are_known():
    @remembered(1)
    def table(size):
        return torch.arange(size)

    with used_tables() as used:
        first, again = table(3), table(3)
    table(4)
    assert first is again and [one.tolist() for one in used] == [[0, 1, 2]] * 2


def test_a_detector_answers_the_same_with_recordings():
    torch.manual_seed(0)
    model = build_model(Config.fromstring(tiny_glip.TINY_CONFIG, '.py')).eval()
    with pytest.raises(UserError, match='a GPU for graphs; got a model on cpu'):
        model.use_graphs()
    images = torch.randn(2, 3, 64, 96)

    def predict(model):
        samples = [DetDataSample(metainfo=dict(text=('cat', 'dog'))) for _ in images]
        return [one.pred_instances for one in model(images, samples, mode='predict')]

    plain = predict(model)
    recorder = Recorder()
    model.graphs = RecordedCalls(record=recorder)
    for _ in range(2):
        for a, b in zip(predict(model), plain):
            assert torch.equal(a.scores, b.scores) and torch.equal(a.bboxes, b.bboxes)
    assert recorder.made == 2  # maps and head
    model.use_graphs(False)
    assert model.graphs is None


def test_a_predictor_without_a_gpu_refuses_graphs():
    with pytest.raises(UserError, match='a GPU for graphs; got a model on cpu'):
        glipkit.Predictor('glip-mini', 'random', graphs=True)
