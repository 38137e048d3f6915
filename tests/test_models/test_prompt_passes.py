"""Prompts in threads or batches give what they give one after another."""
from __future__ import annotations

import threading

import pytest
import torch

from glipkit.models.detectors import glip, prompt_passes
from glipkit.models.detectors.prompt_passes import (
    labels_of_columns,
    plan_passes,
    rounds_at_once,
    rows_of,
    run_passes,
)


def test_rounds_are_joined():
    prompts = [['a0', 'a1', 'a2'], ['b0'], ['c0', 'c1']]
    assert plan_passes(prompts, 1) == [[(0, 'a0'), (1, 'b0'), (2, 'c0')], [(0, 'a1'), (2, 'c1')],
                                     [(0, 'a2')]]
    assert plan_passes(prompts, 2) == [[(0, 'a0'), (1, 'b0'), (2, 'c0'), (0, 'a1'), (2, 'c1')],
                                     [(0, 'a2')]]
    assert plan_passes([['a']], 9) == [[(0, 'a')]]


def test_memory_bounds_the_rounds(monkeypatch):
    levels = [torch.zeros(2, 8, 10, 10), torch.zeros(2, 8, 5, 5)]
    one = 2 * 125 * (12 * 8 + 256) * 4
    for free, rounds in ((0, 1), (6 * one, 3), (7 * one, 3)):
        monkeypatch.setattr(prompt_passes, '_free_memory', lambda device, free=free: free)
        assert rounds_at_once(levels) == rounds


def test_a_gpu_holds_whole_maps_of_the_fusion(monkeypatch):
    from glipkit.benchmarks.launches import StandIn
    levels = [StandIn().empty(2, 8, 10, 10)]
    one = 2 * 100 * (12 * 8 + 256 + 4 * 8 * 256) * 4
    monkeypatch.setattr(prompt_passes, '_free_memory', lambda device: 6 * one)
    assert rounds_at_once(levels) == 3


def test_maps_and_labels_of_some_images():
    levels = [torch.arange(3.).view(3, 1, 1, 1), torch.arange(3.).view(3, 1, 1, 1) + 10]
    assert rows_of(levels, [0, 1, 2])[0] is levels[0]
    assert [one.flatten().tolist() for one in rows_of(levels, [2, 0, 2])] == [
        [2, 0, 2], [12, 10, 12]]
    found = torch.tensor([0, 2, 1])
    assert labels_of_columns(found, [0, 1, 2]) is found
    assert labels_of_columns(found, [4, 5, 6]).tolist() == [4, 6, 5]
    assert labels_of_columns(found, [4, 9]).tolist() == [4, 9, 9]  # one place is behind the last


def test_jobs_run_side_by_side_and_in_order(two_threads):
    meet = threading.Barrier(2, timeout=20)  # nobody passes alone

    def work(job):
        meet.wait()
        return (job, torch.get_num_threads(), torch.is_grad_enabled(),
                torch.is_autocast_enabled('cpu'))

    with torch.autocast('cpu', torch.bfloat16):
        assert run_passes(work, [3, 1, 2, 0], 2) == [(i, 1, False, True) for i in (3, 1, 2, 0)]
    assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError):
        run_passes(lambda job: 1 / job, [1, 0], 2)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize('rounds, on_cpu', [(2, True), (8, False)])
def test_predictions_do_not_depend_on_the_schedule(tiny_detector, monkeypatch, two_threads, rounds,
                                                    on_cpu):
    """Threads, as on a processor, and one large batch, as on a GPU."""
    model, predict = tiny_detector
    monkeypatch.setattr(glip, 'rounds_at_once', lambda levels: 1)
    expected = predict()
    monkeypatch.setattr(glip, 'rounds_at_once', lambda levels: rounds)
    if not on_cpu:
        monkeypatch.setattr(glip, 'plan_passes', lambda prompts, _: plan_passes(prompts, rounds))
    for found, known in zip(predict(), expected, strict=True):
        assert len(known.labels) and torch.equal(found.labels, known.labels)
        torch.testing.assert_close(found.scores, known.scores, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.bboxes, known.bboxes, atol=1e-3, rtol=0)


@pytest.fixture
def tiny_detector():
    from mmdet.structures import DetDataSample

    from glipkit import load
    model = load('glip-mini')
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 96)
    names = [f'{size} {colour} {shape}' for size in ('small', 'large') for colour in
             ('red', 'blue', 'green', 'black') for shape in ('circle', 'square', 'star')]

    def predict():
        samples = []
        for text in (tuple(names), tuple(names[:3])):
            sample = DetDataSample()
            sample.set_metainfo(dict(text=text, img_shape=(64, 96)))
            samples.append(sample)
        model.test_settings = type(model.test_settings)(score_threshold=0.0, max_tokens=40,
                                                        nms_pre=20)
        return [s.pred_instances for s in model.predict(images, samples, rescale=False)]

    return model, predict
