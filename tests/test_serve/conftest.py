"""A tiny model with two tasks behind a service, and pictures as files."""
from __future__ import annotations

import io
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import fingerprint, make_task, save_task
from glipkit.common import reporter
from glipkit.serve.limits import LearningLimits, Limits
from glipkit.serve.service import Service
from glipkit.testing.tiny_glip import picture, write_config
from tests.test_apis.test_tasks import tuned_model

FISH = {3: 'carp', 8: 'pike'}
CUPS = {1: 'cup', 2: 'mug', 5: 'bowl'}
#: Small enough for the pictures of the tests to be too large.
LIMITS = Limits(places=8, timeout=20., max_pixels=40_000, max_classes=50, max_text=200,
                max_bytes=300_000)


@pytest.fixture(scope='session')
def model(tmp_path_factory):
    torch.manual_seed(0)
    return load(write_config(tmp_path_factory.mktemp('served')), 'random')


@pytest.fixture(scope='session')
def tasks(model, tmp_path_factory):
    """Name -> task file."""
    folder, digest = tmp_path_factory.mktemp('tasks'), fingerprint(model)
    files = {}
    for name, classes, seed in (('fish', FISH, 1), ('cups', CUPS, 2)):
        state = tuned_model(model, 'head', seed)[1]
        files[name] = folder / f'{name}.safetensors'
        save_task(make_task(model, dict(name='head'), state, classes, digest, 'tiny'),
                  files[name])
    return files


@pytest.fixture(scope='session')
def predict(model, tasks):
    """What nobody serves: the measure of all answers."""
    predictor = Predictor(model, score_threshold=0.)
    for name, file in tasks.items():
        predictor.load_task(file, name)
    return predictor


@pytest.fixture(scope='session')
def shared(model, tasks):
    """A service for all tests that leave its places alone."""
    service = Service(Predictor(model, score_threshold=0., batch_size=3), name='tiny', tasks=tasks,
                      limits=LIMITS)
    yield service
    service.close(20)


@pytest.fixture
def blocked(model, monkeypatch):
    """A service of two places whose model waits until ``go`` is set, and counts what it ran."""
    predictor = Predictor(model, score_threshold=0., batch_size=3)
    go, ran = threading.Event(), []
    detect = predictor.detect

    def waiting(prepared, **arguments):
        ran.append(len(prepared))
        assert go.wait(20)
        return detect(prepared, **arguments)

    monkeypatch.setattr(predictor, 'detect', waiting)
    service = Service(predictor, name='tiny', limits=Limits(places=2, timeout=.5))
    yield SimpleNamespace(service=service, go=go, ran=ran)
    go.set()
    service.close(20)


class Steps:
    """A learner of ten steps, which waits before each until it may go."""

    def __init__(self, model):
        self.model, self.digest = model, fingerprint(model)
        self.go, self.seen = threading.Event(), []
        self.go.set()

    def __call__(self, predictor, references, seconds):
        self.seen.append((references, seconds))
        with reporter.bar('learning', 10) as bar:
            for _ in range(10):
                assert self.go.wait(20)
                bar.update()
        classes = {i: one.name for i, one in enumerate(references)}
        state = tuned_model(self.model, 'head', len(self.seen))[1]
        return make_task(self.model, dict(name='head'), state, classes, self.digest, 'tiny')


@pytest.fixture
def shown(model):
    """A service whose learner is steered by ``steps``."""
    steps = Steps(model)
    service = Service(Predictor(model, score_threshold=0.), name='tiny',
                      limits=Limits(max_pixels=40_000, max_bytes=300_000),
                      learning=LearningLimits(places=2, pictures=2, boxes=3, kept=2), learner=steps)
    yield SimpleNamespace(service=service, learning=service.learning, steps=steps)
    steps.go.set()
    service.close(20)


def until(condition):
    """Waits until a function of nothing is true."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(.01)


def shot(seed=0, size=(60, 90)):
    """A PIL image."""
    return Image.fromarray(picture(seed, size)[..., ::-1])


def encoded(image, kind='PNG', **options):
    """The bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def same(found, other):
    """Whether two detections are equal but for the last bits, which a batch may round otherwise."""
    return (found.names == other.names and found.size == other.size
            and np.allclose(found.boxes, other.boxes, atol=1e-3)
            and np.allclose(found.scores, other.scores, atol=1e-6))
