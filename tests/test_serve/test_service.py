"""One predictor for many callers: equal to the predictor itself, within its limits."""
from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from glipkit.apis.calibration import Calibration
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import read_task
from glipkit.errors import UserError
from glipkit.serve.api import create_app
from glipkit.serve.limits import Limits
from glipkit.serve.service import Busy, Service, TimedOut, TooLarge
from tests.test_serve.conftest import CUPS, FISH, LIMITS, encoded, same, shot

NAMES = ['red circle', 'blue star']
QUESTIONS = (dict(classes=NAMES), dict(classes=[f'thing {i}' for i in range(12)]),
             dict(task='fish'), dict(task='cups'), dict(task='cups', classes=NAMES),
             dict(caption='a dog beside a red car'), dict(classes=NAMES, score_threshold=.1),
             dict(task='fish', per_object='all'))


def test_eight_callers_at_once_get_what_the_predictor_gives(shared, predict):
    images = [shot(seed, size) for seed, size in enumerate([(60, 90), (60, 90), (90, 60)])]
    calls = [(i, question) for i in range(3) for question in range(len(QUESTIONS))] * 2
    calls = [calls[i] for i in np.random.RandomState(0).permutation(len(calls))]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda call: shared.predict(images[call[0]],
                                                            **QUESTIONS[call[1]]), calls))
    alone = {call: predict(images[call[0]], **QUESTIONS[call[1]])[0] for call in set(calls)}
    assert any(len(found) for found in answers)
    assert all(same(found, alone[call]) for found, call in zip(answers, calls))
    fish = answers[calls.index((0, 2))]
    assert fish.classes == tuple(FISH.values()) and fish.category_ids == tuple(FISH)
    assert fish.image is images[0] and fish.image_id == 0


def test_arrays_are_rgb(shared, predict):
    pixels = np.asarray(shot(4))
    assert same(shared.predict(pixels, classes=NAMES), predict(shot(4), classes=NAMES)[0])


def test_what_there_is(shared):
    assert shared.models() == ['tiny'] and shared.tasks() == ['fish', 'cups']
    assert shared.classes_of('cups') == tuple(CUPS.values())


def test_a_calibrated_task_brings_its_thresholds(model, tasks):
    limits = {'carp': .3, 'pike': 1.}
    task = replace(read_task(tasks['fish']), calibration=Calibration('f1', 'none', limits, .5))
    predictor = Predictor(model)
    service = Service(predictor, tasks={'sure': task, 'fish': tasks['fish']})
    assert service.thresholds_of('sure') == limits
    assert service.thresholds_of('fish') is service.thresholds_of(None) is None
    found = service.predict(shot(), task='sure')
    assert same(found, predictor(shot(), task='sure')[0]) and 'pike' not in found.names
    everything = service.predict(shot(), task='sure', score_threshold=0.)
    assert len(everything) > len(found)
    info = TestClient(create_app(service, page=False)).post(
        '/predict', files={'image': encoded(shot())}, data={'task': 'sure'}).json()['info']
    assert info['thresholds'] == limits
    service.close(20)


@pytest.mark.parametrize('image', ['/etc/passwd', b'x', None, np.zeros(5, np.uint8)])
def test_only_pixels_are_images(shared, image):
    with pytest.raises(UserError, match='expected an image as PIL image or array'):
        shared.predict(image, classes=NAMES)


@pytest.mark.parametrize('question, kind, message', [
    (dict(), UserError, 'neither'),
    (dict(classes=NAMES, caption='a dog'), UserError, 'both'),
    (dict(classes='dog'), UserError, 'class names as a list'),
    (dict(classes=['dog', 3]), UserError, 'that are texts'),
    (dict(classes=['dog', 'dog']), UserError, 'dog'),
    (dict(classes=[]), UserError, 'class'),
    (dict(classes=['...']), UserError, 'letter'),
    (dict(classes=['\ud83d']), UserError, 'surrogate'),
    (dict(caption=3), UserError, 'caption as a text'),
    (dict(classes=NAMES, task='/etc/passwd'), UserError, r'a task \(fish, cups\)'),
    (dict(task='../fish.safetensors'), UserError, r'a task \(fish, cups\)'),
    (dict(classes=NAMES, model='glip-l'), UserError, 'the model tiny'),
    (dict(classes=NAMES, score_threshold=float('nan')), UserError, 'between 0 and 1'),
    (dict(classes=NAMES, per_object='none'), UserError, "'one' or 'all'"),
    (dict(classes=[f'thing {i}' for i in range(51)]), TooLarge, '50 class names'),
    (dict(classes=['a' * 201]), TooLarge, '200 characters'),
    (dict(caption='a dog ' * 40), TooLarge, '200 characters'),
])
def test_questions_that_cannot_be_asked(shared, question, kind, message):
    with pytest.raises(kind, match=message):
        shared.predict(shot(), **question)
    assert shared.waiting() == 0


def test_a_task_file_is_known_by_its_name_alone(shared, tasks):
    """The predictor itself would take the path for a task and read it."""
    with pytest.raises(UserError, match='the name of a task'):
        shared.predict(shot(), task=str(tasks['fish']))


def test_too_many_pixels_are_refused_before_they_are_decoded(shared):
    image = Image.new('RGB', (300, 300))
    image.load = image.tobytes = None  # whoever decodes it, fails
    with pytest.raises(TooLarge, match='40000 pixels; got 300 x 300'):
        shared.predict(image, classes=NAMES)
    with pytest.raises(TooLarge, match='40000 pixels'):
        shared.predict(np.zeros((300, 300, 3), np.uint8), classes=NAMES)


@pytest.mark.parametrize('size', [(1, 1), (1, 400), (400, 1), (3, 2)])
def test_odd_sizes(shared, predict, size):
    image = shot(0, size)
    assert same(shared.predict(image, classes=NAMES), predict(image, classes=NAMES)[0])


def test_no_place(blocked):
    service = blocked.service
    with service.place(), service.place(), pytest.raises(Busy, match='2 requests') as caught:
        service.predict(shot(), classes=NAMES)
    assert caught.value.retry_after >= 1
    blocked.go.set()
    service.predict(shot(), classes=NAMES)  # the places are free again


def test_who_waits_too_long_leaves_nothing_behind(blocked):
    service = blocked.service
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(service.predict, shot(), classes=NAMES)
        while not blocked.ran:
            pass
        second = pool.submit(service.predict, shot(), classes=['dog'])
        for call in (first, second):
            with pytest.raises(TimedOut, match=r'within 0\.5 s'):
                call.result(20)
    assert service.waiting() == 0
    blocked.go.set()
    assert service.predict(shot(1), classes=NAMES).size == (60, 90)
    assert blocked.ran == [1, 1]  # the second never ran


def test_images_of_one_size_and_question_run_together(model, blocked, predict):
    service = Service(blocked.service.predictor, limits=Limits(places=9, timeout=20.))
    images = [shot(seed, size) for seed, size in enumerate([(60, 90)] * 4 + [(90, 60)])]
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(service.predict, shot(9), classes=['dog'])
        while not blocked.ran:
            pass
        calls = [pool.submit(service.predict, image, classes=NAMES) for image in images]
        while service.waiting() < 5:
            pass
        blocked.go.set()
        answers = [call.result(20) for call in calls]
        first.result(20)
    service.close(20)
    assert sorted(blocked.ran) == [1, 1, 1, 3]
    for image, found in zip(images, answers):
        assert same(found, predict(image, classes=NAMES)[0])


def test_closing_answers_those_who_wait(blocked):
    service = blocked.service
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(service.predict, shot(), classes=NAMES)
        while not blocked.ran:
            pass
        waiting = pool.submit(service.predict, shot(), classes=['dog'])
        while not service.waiting():
            pass
        threading.Thread(target=service.close).start()
        with pytest.raises(Busy, match='being stopped'):
            waiting.result(20)
        blocked.go.set()
        assert running.result(20).size == (60, 90)
    with pytest.raises(Busy):
        service.predict(shot(), classes=NAMES)


@pytest.mark.parametrize('limit', ['places', 'timeout', 'max_pixels', 'max_classes', 'max_bytes'])
def test_limits_that_let_nothing_pass(limit):
    with pytest.raises(UserError, match=f'a limit {limit} above 0'):
        Limits(**{limit: 0})
    assert LIMITS.places == 8
