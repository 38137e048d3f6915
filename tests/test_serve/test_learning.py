"""What visitors show by boxes: learned beside the predictions, within limits, for a while."""
from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import read_task
from glipkit.common import reporter
from glipkit.errors import UserError
from glipkit.serve.api import create_app
from glipkit.serve.learning import Learning
from glipkit.serve.limits import Busy, LearningLimits, Stopped, TooLarge
from glipkit.serve.references import make_reference
from glipkit.serve.service import Service
from tests.test_serve.conftest import encoded, same, shot, until

BOX = (10., 20., 40., 50.)


def reference(name='our part', boxes=((BOX,),), negatives=None, size=(60, 90), side=1600):
    return make_reference(name, [lambda: shot(0, size)] * len(boxes), boxes, negatives, side)


def test_a_lesson_gives_a_task_for_predictions_and_a_file(shown, tmp_path):
    lesson = shown.learning.begin([reference()], 5)
    learned = lesson.wait(20)
    assert learned.names == ('our part',) and shown.steps.seen[0][1] == 5
    assert shown.service.classes_of(learned.task) == ('our part',)
    assert shown.service.tasks() == []  # nobody else is told
    file = tmp_path / 'part.safetensors'
    file.write_bytes(learned.content)
    assert read_task(file).classes == ('our part',) and learned.file_name == 'our-part.safetensors'
    alone = Predictor(shown.service.predictor.model, score_threshold=0., task=file)(shot())[0]
    assert len(alone) and same(shown.service.predict(shot(), task=learned.task), alone)


def test_pictures_are_made_smaller_with_their_boxes():
    one = reference(size=(60, 90), side=45, negatives=[[(0, 0, 90.5, 60)]])
    assert one.pictures[0].size == (45, 30)
    assert one.boxes == (((5., 10., 20., 25.),),) and one.negatives == (((0., 0., 45., 30.),),)


@pytest.mark.parametrize('box', [(10, 20, 10, 30), (50, 20, 40, 30), (0, 0, 120, 20),
                                 (-9, 0, 20, 20), (0, float('nan'), 20, 20), (90, 0, 90.5, 20),
                                 (-.9, 0, -.1, 20)])
def test_boxes_that_are_none(box):
    with pytest.raises(UserError, match='inside the 90 x 60 pixels of picture 2'):
        reference(boxes=[[BOX], [box]])


def test_limits_of_a_lesson(shown):
    with pytest.raises(UserError, match='a box around the thing'):
        shown.learning.begin([reference(boxes=[[]], negatives=[[BOX]])])
    with pytest.raises(TooLarge, match='at most 3 boxes'):
        shown.learning.begin([reference(boxes=[[BOX] * 3], negatives=[[BOX]])])
    for seconds in (0, -1, float('nan')):
        with pytest.raises(UserError, match='seconds above 0'):
            shown.learning.begin([reference()], seconds)
    shown.learning.begin([reference()], 1e9).wait(20)
    assert shown.steps.seen[0][1] == LearningLimits().seconds
    with pytest.raises(UserError, match='a limit kept above 0'):
        LearningLimits(kept=0)


def test_one_runs_one_waits_and_the_third_is_refused(shown):
    shown.steps.go.clear()
    with shown.learning.place(), shown.learning.place():
        with pytest.raises(Busy, match='2 others') as caught, shown.learning.place():
            pass
        assert caught.value.retry_after == 20
        first, second = (shown.learning.begin([reference()]) for _ in range(2))
        until(lambda: first.said.startswith('learning'))
        assert second.said == 'waiting for its turn' and second.wait(.01) is None
        second.stop()
        with pytest.raises(Stopped):
            second.wait(1)
        # Predictions are answered meanwhile.
        assert shown.service.predict(shot(), classes=['dog']).size == (60, 90)
        shown.steps.go.set()
        assert first.wait(20).names == ('our part',)
    with shown.learning.place():
        pass
    assert len(shown.steps.seen) == 1


def test_a_lesson_that_runs_is_stopped_with_its_next_step(shown):
    shown.steps.go.clear()
    lesson = shown.learning.begin([reference()])
    until(lambda: lesson.said.startswith('learning'))
    lesson.stop()
    shown.steps.go.set()
    with pytest.raises(Stopped):
        lesson.wait(20)
    assert shown.learning.begin([reference()]).wait(20).names == ('our part',)


def test_a_step_waits_for_predictions(model):
    """Predictions go first, but not for ever: the budget is one of seconds."""
    waited = []

    def learner(predictor, references, seconds):
        with reporter.bar('learning', 4) as bar:
            for _ in range(4):
                bar.update()
                waited.append(lesson.said)
        raise UserError('something', 'nothing', 'show it')

    calls = []
    learning = Learning(Predictor(model), LearningLimits(), learner, calls.append)
    lesson = learning.begin([reference()])
    with pytest.raises(UserError, match='show it'):
        lesson.wait(20)
    assert len(calls) == 4 and all(seconds <= 2 for seconds in calls)
    assert waited == ['learning, 0% of 20 s'] * 4
    learning.close(20)


def test_the_queue_tells_when_it_is_idle(blocked):
    with ThreadPoolExecutor(1) as pool:
        queue = blocked.service._queue
        assert queue.wait_idle(1)
        call = pool.submit(blocked.service.predict, shot(), classes=['dog'])
        until(lambda: blocked.ran)
        assert not queue.wait_idle(.05)
        blocked.go.set()
        assert queue.wait_idle(10) and call.result(20)


def test_what_was_learned_goes_after_a_while(shown, monkeypatch):
    one, two = (shown.learning.begin([reference(name)]).wait(20) for name in ('a', 'b'))
    shown.service.predict(shot(), task=one.task)  # used after the other one
    three = shown.learning.begin([reference('c')]).wait(20)
    assert [shown.learning.find(learned.task) is not None for learned in (one, two, three)] == [
        True, False, True]
    with pytest.raises(UserError, match='show the thing again'):
        shown.service.predict(shot(), task=two.task)
    later = time.monotonic() + 3601
    monkeypatch.setattr('glipkit.serve.learning.time.monotonic', lambda: later)
    assert shown.learning.find(three.task) is None
    monkeypatch.undo()
    with pytest.raises(UserError):
        shown.service.predictor.question(task=three.task)  # nothing of it is kept


def test_closing_ends_lessons(shown):
    shown.steps.go.clear()
    first, second = (shown.learning.begin([reference()]) for _ in range(2))
    until(lambda: first.said.startswith('learning'))
    threading.Thread(target=shown.service.close).start()
    with pytest.raises((Stopped, Busy)):
        second.wait(20)
    shown.steps.go.set()
    with pytest.raises(Stopped):
        first.wait(20)


# -- over HTTP ------------------------------------------------------------------------------------

@pytest.fixture
def client(shown):
    return TestClient(create_app(shown.service, page=False), raise_server_exceptions=False)


def form(count=1, boxes=(([*BOX],),), **fields):
    files = [('images', (f'{i}.png', encoded(shot(i)))) for i in range(count)]
    if boxes is not None:
        fields['boxes'] = json.dumps(boxes)
    return dict(files=files, data={'name': 'our part', **fields})


def body(**fields):
    return dict(json={'name': 'our part', 'boxes': [[list(BOX)]],
                      'images': [base64.b64encode(encoded(shot())).decode()], **fields})


def test_examples_over_http(client, shown):
    answer = client.post('/examples', **form(2, [[BOX], []], negatives='[[], [[1, 2, 30, 40]]]',
                                             seconds='3'))
    assert answer.status_code == 200, answer.text
    content = answer.json()
    (one,), seconds = shown.steps.seen[0]
    assert (one.boxes, one.negatives, seconds) == (((BOX,), ()), ((), ((1., 2., 30., 40.),)), 3)
    assert content['names'] == ['our part'] and content['kept_seconds'] == 3600
    found = client.post('/predict', files={'image': encoded(shot())},
                        data={'task': content['task']}).json()
    assert {row['category_name'] for row in found['annotations']} == {'our part'}
    assert client.get('/tasks').json() == {'tasks': []}
    file = client.get(content['file'])
    assert file.content == shown.learning.find(content['task']).content
    assert file.headers['content-disposition'] == 'attachment; filename="our-part.safetensors"'
    assert client.delete(content['file']).status_code == 200
    for call in (client.get, client.delete):
        gone = call(content['file'])
        assert gone.status_code == 404 and 'show it again' in gone.json()['error']
    assert client.post('/predict', files={'image': encoded(shot())},
                       data={'task': content['task']}).status_code == 422
    assert client.post('/examples', **body()).json()['names'] == ['our part']
    assert '/examples' in client.get('/openapi.json').json()['paths']


BAD = {
    'no name': (422, form(name=''), 'name'),
    'no boxes': (422, form(boxes=None), 'boxes'),
    'boxes of no json': (400, dict(form(), data={'name': 'a', 'boxes': '[['}), 'JSON'),
    'no box': (422, form(boxes=[[]]), 'a box around the thing'),
    'lists for other images': (422, form(2), 'for each of 2 pictures'),
    'outside': (422, form(boxes=[[[0, 0, 500, 20]]]), 'inside the 90 x 60 pixels of picture 1'),
    'three numbers': (422, form(boxes=[[[0, 0, 500]]]), 'boxes.0.0'),
    'too many boxes': (413, form(boxes=[[BOX] * 4]), 'at most 3 boxes'),
    'too many images': (400, form(3, [[BOX]] * 3), 'Too many files'),
    'too many in json': (413, body(images=[body()['json']['images'][0]] * 3), 'at most 2 images'),
    'no image': (422, dict(files={'images': b'x'}, data={'name': 'a', 'boxes': '[[[1,2,3,4]]]'}),
                 'that can be read'),
    'large image': (413, dict(files={'images': encoded(shot(0, (300, 300)))},
                              data={'name': 'a', 'boxes': '[[[1,2,3,4]]]'}), '40000 pixels'),
    'path': (422, body(images=['/etc/passwd']), 'in base64'),
    'no images': (422, dict(data={'name': 'a', 'boxes': '[]'}, files={'other': b'x'}), 'images'),
    'other type': (415, dict(content=b'x'), 'multipart/form-data'),
    'strange field': (422, body(url='http://a'), 'url'),
    'no seconds': (422, body(seconds=0), 'seconds'),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_examples_are_one_line(client, shown, case):
    status, request, message = BAD[case]
    answer = client.post('/examples', **request)
    assert answer.status_code == status, answer.text
    error = answer.json()['error']
    assert message in error and '\n' not in error and 'root:' not in error
    assert not shown.steps.seen
    with shown.learning.place(), shown.learning.place():  # nothing holds a place
        pass


def test_full_over_http(client, shown):
    with shown.learning.place(), shown.learning.place():
        answer = client.post('/examples', **form())
    assert answer.status_code == 503 and answer.headers['retry-after'] == '20'


def test_the_end_of_the_server_ends_a_lesson(client, shown):
    shown.steps.go.clear()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.post, '/examples', **form())
        until(lambda: shown.learning._queue.all() and shown.steps.seen)
        for close in client.app.state.before_shutdown:
            close()
        shown.steps.go.set()
        answer = call.result(20)
    assert answer.status_code == 503 and 'being stopped' in answer.json()['error']


def test_a_service_that_learns_nothing(model):
    service = Service(Predictor(model), name='tiny', learning=None)
    client = TestClient(create_app(service, page=False))
    assert client.post('/examples', **form()).status_code == 404
    service.close(20)
