"""The backend of Label Studio: labels, per cent, and images from the one configured host."""
from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from glipkit.apis.detections import Detections
from glipkit.apis.predictor import Predictor
from glipkit.errors import UserError
from glipkit.serve.api import create_app
from glipkit.serve.label_config import Control, read_label_config
from glipkit.serve.label_studio import regions_of
from glipkit.serve.label_studio_files import LabelStudioFiles
from glipkit.serve.limits import Limits, TooLarge
from glipkit.serve.service import Service
from tests.test_serve.conftest import FISH, LIMITS, encoded, shot

CONFIG = '''<View>
  <Header value="Find them"/>
  <Image name="img" value="$photo"/>
  <RectangleLabels name="box" toName="img">
    <Label value="red circle" background="red"/>
    <Label value="Vehicle" predicted_values="car, truck"/>
    <Label value="blue star" alias="BS"/>
  </RectangleLabels>
  <Choices name="quality" toName="img"><Choice value="good"/></Choices>
</View>'''
LABELS = {'red circle': 'red circle', 'car': 'Vehicle', 'truck': 'Vehicle', 'blue star': 'BS'}
#: Label Studio's own words around a request.
AROUND = {'project': '12.1732000000', 'params': {'login': None, 'password': None,
                                                  'hostname': 'http://ls', 'context': None}}


def url_of(image, kind='PNG', **options):
    content = base64.b64encode(encoded(image, kind, **options)).decode()
    return f'data:image/{kind.lower()};base64,{content}'


def request(*images, config=CONFIG):
    return {'tasks': [{'id': 40 + i, 'data': {'photo': image}, 'meta': {}, 'annotations': [],
                       'predictions': []} for i, image in enumerate(images)],
            'label_config': config, **AROUND}


@pytest.fixture(scope='module')
def client(shared):
    return TestClient(create_app(shared, page=False))


def test_labels_of_an_interface():
    assert read_label_config(CONFIG) == [Control('box', 'img', 'photo', LABELS)]


def test_interfaces_with_several_controls():
    two = read_label_config('''<View><Image name="a" value="$left"/><Image name="b" value="$right"/>
      <RectangleLabels name="x" toName="a" model_score_threshold="0.25"><Label value="dog"/>
        <Label value="hound" predicted_values="dog"/><Label value=" "/></RectangleLabels>
      <RectangleLabels name="y" toName="b"><Label value="cat"/></RectangleLabels>
      <RectangleLabels name="z" toName="b" model_skip="true"><Label value="cow"/></RectangleLabels>
      <RectangleLabels name="v" toName="clip"><Label value="cow"/></RectangleLabels></View>''')
    assert two == [Control('x', 'a', 'left', {'dog': 'dog'}, .25),
                   Control('y', 'b', 'right', {'cat': 'cat'})]


@pytest.mark.parametrize('config, message', [
    ('', 'as XML'), ('words', 'as XML'), ('<View>', 'as XML'), ('<View/>', 'with RectangleLabels'),
    ('<View><Image name="i" value="$i"/><RectangleLabels name="x" toName="i"/></View>',
     'with RectangleLabels'),
    (CONFIG.replace('$photo', '/etc/passwd'), 'with RectangleLabels'),
    (CONFIG.replace('toName="img">', 'toName="img" model_score_threshold="high">'), 'between 0'),
    ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + CONFIG, 'document type'),
])
def test_interfaces_that_cannot_be_asked_for(client, config, message):
    with pytest.raises(UserError, match=message):
        read_label_config(config)
    for answer in (client.post('/label-studio/setup', json={'project': '1.2', 'schema': config}),
                   client.post('/label-studio/predict', json=request(url_of(shot()),
                                                                     config=config))):
        assert answer.status_code == 422 and message in answer.json()['error']


def test_per_cent_worked_by_hand():
    found = Detections(boxes=np.float32([[3, 2, 33, 4], [0, 0, 60, 8]]),
                       scores=np.float32([.75, .5]), labels=np.array([1, 0]),
                       classes=('car', 'dog'), size=(8, 60))
    control = Control('box', 'img', 'photo', {'dog': 'Hund', 'car': 'Auto'}, .6)
    region, = regions_of(found, control)
    value = region.pop('value')
    assert region.pop('id') and value.pop('rectanglelabels') == ['Hund']
    assert value == pytest.approx({'x': 5, 'y': 25, 'width': 50, 'height': 25, 'rotation': 0})
    assert region == {'from_name': 'box', 'to_name': 'img', 'type': 'rectanglelabels',
                      'original_width': 60, 'original_height': 8, 'image_rotation': 0,
                      'score': .75}


def as_pixels(region):
    value, width, height = region['value'], region['original_width'], region['original_height']
    x, y = value['x'] * width / 100, value['y'] * height / 100
    return [x, y, x + value['width'] * width / 100, y + value['height'] * height / 100]


@pytest.mark.parametrize('turn', range(9))
def test_turned_and_odd_images_as_the_browser_shows_them(client, predict, tmp_path, turn):
    """A browser turns images by their EXIF mark, and reports the size after that."""
    image, mark = shot(turn, (37, 83)), Image.Exif()
    if turn:
        mark[0x0112] = turn
    options = dict(exif=mark, quality=95, subsampling=0)
    path = tmp_path / 'a.jpg'
    path.write_bytes(encoded(image, 'JPEG', **options))
    found = predict(path, classes=list(LABELS))[0]
    answer = client.post('/label-studio/predict', json=request(url_of(image, 'JPEG', **options)))
    result, = answer.json()['results']
    size = (37, 83) if turn >= 5 else (83, 37)
    assert {(r['original_width'], r['original_height']) for r in result['result']} == {size}
    assert [r['value']['rectanglelabels'] for r in result['result']] == [
        [LABELS[name]] for name in found.names]
    np.testing.assert_allclose([as_pixels(r) for r in result['result']], found.boxes, atol=1e-2)
    assert result['score'] == pytest.approx(np.mean(found.scores), abs=1e-5)
    assert result['model_version'] == 'tiny'
    assert len({r['id'] for r in result['result']}) == len(found)


def test_two_controls_of_one_image_are_answered_each_by_itself(client, predict):
    """A kind and a colour of one object: neither takes its place, nor the other's threshold."""
    kinds, colours = ['blue star', 'red circle'], ['red', 'blue']
    controls = ''.join(f'<RectangleLabels name="{name}" toName="img"{more}>'
                       + ''.join(f'<Label value="{word}"/>' for word in words)
                       + '</RectangleLabels>' for name, words, more in (
                           ('kind', kinds, ''), ('colour', colours, ' score_threshold="0.5"')))
    config = f'<View><Image name="img" value="$photo"/>{controls}</View>'
    answer = client.post('/label-studio/predict', json=request(url_of(shot()), config=config))
    regions = answer.json()['results'][0]['result']
    found = predict(shot(), classes=kinds + colours, per_object='all')[0]
    for name, words, lowest in (('kind', kinds, 0.), ('colour', colours, .5)):
        wanted = found[[one in words for one in found.names]].one_per_object()
        wanted = wanted[wanted.scores >= lowest]
        mine = [region for region in regions if region['from_name'] == name]
        assert [region['value']['rectanglelabels'] for region in mine] == [
            [one] for one in wanted.names]
        np.testing.assert_allclose([as_pixels(r) for r in mine] or np.empty((0, 4)),
                                   wanted.boxes, atol=1e-2)
    low = regions_of(found, Control('kind', 'img', 'photo', dict(zip(kinds, kinds))), .4)
    assert all(region['score'] >= .4 for region in low)


def test_the_other_questions(client):
    for path in ('', '/', '/health'):
        assert client.get(f'/label-studio{path}').json() == {'status': 'UP', 'model_class': 'tiny'}
    setup = {'project': '12.17', 'schema': CONFIG, 'hostname': 'http://127.0.0.1:1',
             'access_token': 'key', 'extra_params': None}
    assert client.post('/label-studio/setup', json=setup).json() == {'model_version': 'tiny'}
    assert client.get('/label-studio/versions').json() == {'versions': ['tiny']}
    event = {'action': 'ANNOTATION_CREATED', 'project': {'id': 1}, 'annotation': {}}
    assert client.post('/label-studio/webhook', json=event).status_code == 200
    for path in ('health', 'versions'):
        assert client.get(f'/label-studio/tasks/birds/{path}').status_code == 422
    for bad in ([], {'tasks': []}, {'tasks': [{}], 'label_config': CONFIG}):
        assert client.post('/label-studio/predict', json=bad).status_code == 422
    assert client.post('/label-studio/predict', json=request()).json()['results'] == []


def test_a_tuned_task_has_a_backend_of_its_own(client, predict):
    config = CONFIG.replace('red circle', 'pike')
    answer = client.post('/label-studio/tasks/fish/predict',
                         json=request(url_of(shot()), config=config)).json()
    found = [row for row in predict(shot(), task='fish')[0] if row.name == 'pike']
    assert len(answer['results'][0]['result']) == len(found) > 0
    assert answer['model_version'] == 'tiny/fish'
    setup = client.post('/label-studio/tasks/fish/setup', json={'schema': CONFIG})
    assert setup.status_code == 422 and ', '.join(FISH.values()) in setup.json()['error']


def test_one_bad_task_does_not_lose_the_others(client):
    good, bad = url_of(shot()), '/etc/passwd'
    results = client.post('/label-studio/predict',
                          json=request(good, bad, good, None, good)).json()['results']
    assert [bool(result['result']) for result in results] == [True, False, True, False, True]
    assert 'never read' in results[1]['error'] and 'as a text' in results[3]['error']
    only = client.post('/label-studio/predict', json=request(bad))
    assert only.status_code == 422 and 'never read' in only.json()['error']
    other = {**request(good), 'tasks': [{'id': 1, 'data': {'text': 'x'}}]}
    assert 'photo' in client.post('/label-studio/predict', json=other).json()['error']


def test_where_time_is_over_the_first_result_makes_label_studio_ask_one_by_one(model, monkeypatch):
    predictor = Predictor(model, score_threshold=0.)
    detect, stop, calls = predictor.detect, threading.Event(), []

    def first_alone(*arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            stop.wait(20)
        return detect(*arguments, **more)

    monkeypatch.setattr(predictor, 'detect', first_alone)
    service = Service(predictor, limits=Limits(timeout=1.))
    client = TestClient(create_app(service, page=False))
    images = [url_of(shot(seed)) for seed in range(3)]
    answer = client.post('/label-studio/predict', json=request(*images))
    assert answer.status_code == 200 and len(answer.json()['results']) == 1
    stop.set()
    service.close(20)


class _Host(BaseHTTPRequestHandler):
    """Label Studio as far as images go: two kinds of keys, uploads, cloud storage, redirects."""

    asked: list = []
    image = b''

    def do_GET(self):
        self.asked.append((self.path, self.headers['Authorization']))
        if self.headers['Authorization'] not in ('Token legacy', 'Bearer short-lived'):
            self._send(401)
        elif self.path == '/data/upload/1/away.png':
            self._send(302, headers={'Location': 'http://elsewhere.example/a.png'})
        elif self.path == '/data/upload/1/moved.png':
            self._send(302, headers={'Location': '/data/upload/1/a.png'})
        elif self.path == '/data/upload/1/round.png':
            self._send(302, headers={'Location': '/data/upload/1/round.png'})
        elif self.path == '/data/upload/1/gone.png':
            self._send(404)
        elif self.path == '/data/upload/1/huge.png':
            self._send(200, b'\0' * 400_000)
        else:
            self._send(200, self.image)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        self.asked.append((self.path, body['refresh']))
        self._send(200, json.dumps({'access': 'short-lived'}).encode())

    def _send(self, status, content=b'', headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope='module')
def host():
    _Host.image = encoded(shot())
    server = ThreadingHTTPServer(('127.0.0.1', 0), _Host)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': .02})
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def asked():
    _Host.asked.clear()
    return _Host.asked


CLOUD = 's3://bucket/ä b.png'


@pytest.mark.parametrize('value, path', [
    ('/data/upload/1/a%20b.png', '/data/upload/1/a%20b.png'),
    ('upload/1/a.png', '/data/upload/1/a.png'),
    ('/data/local-files/?d=dir/a.png', '/data/local-files/?d=dir/a.png'),
    ('/storage-data/uploaded/?filepath=upload/1/a.png',
     '/storage-data/uploaded/?filepath=upload/1/a.png'),
    ('HOST/data/upload/1/moved.png', '/data/upload/1/a.png'),
    (CLOUD, '/tasks/7/presign/?fileuri=' + base64.urlsafe_b64encode(CLOUD.encode()).decode()),
])
def test_images_that_label_studio_keeps(host, asked, value, path):
    files = LabelStudioFiles(LIMITS, host, 'legacy')
    assert files.read(value.replace('HOST', host), 7, 9.) == _Host.image
    assert (unquote(asked[-1][0]), asked[-1][1]) == (unquote(path), 'Token legacy')


def test_a_personal_access_token_is_exchanged_once(host, asked):
    files = LabelStudioFiles(LIMITS, host + '/', 'eyJh.eyJi.c')
    for _ in range(2):
        assert files.read('/data/upload/1/a.png', 7, 9.) == _Host.image
    assert asked == [('/api/token/refresh/', 'eyJh.eyJi.c'),
                     *[('/data/upload/1/a.png', 'Bearer short-lived')] * 2]


REFUSED = ['/etc/passwd', 'etc/passwd', '../../etc/passwd', '/data/../etc/passwd',
           '/data/%2e%2e/api/users', '/data/%252e%252e/api/users', '/data/..\\x',
           '/api/current-user/token', 'file:///etc/passwd', 'http://elsewhere.example/a.png',
           '//elsewhere.example/data/a.png', 'https://127.0.0.1/data/a.png',
           'http://127.0.0.1:1/data/a.png', 'http://[::1', 'http://127.0.0.1:x/data/a.png',
           'ftp://127.0.0.1/data/a.png']


@pytest.mark.parametrize('value', REFUSED)
def test_nothing_else_is_fetched(host, asked, value):
    with pytest.raises(UserError):
        LabelStudioFiles(LIMITS, host, 'legacy').read(value, 7, 9.)
    assert not asked
    with pytest.raises(UserError, match='never read|base64'):
        LabelStudioFiles(LIMITS).read(value, 7, 9.)


def test_another_user_in_the_address_is_refused(host, asked):
    with pytest.raises(UserError):
        LabelStudioFiles(LIMITS, host, 'legacy').read(host.replace('//', '//a:b@')
                                                      + '/data/a.png', 7, 9.)
    assert not asked


@pytest.mark.parametrize('value, kind, message', [
    ('/data/upload/1/away.png', UserError, 'a redirect to elsewhere.example'),
    ('/data/upload/1/round.png', UserError, 'redirects'),
    ('/data/upload/1/gone.png', UserError, 'status 404'),
    ('/data/upload/1/huge.png', TooLarge, '300000 bytes'),
])
def test_what_label_studio_does_not_hand_out(host, value, kind, message):
    with pytest.raises(kind, match=message):
        LabelStudioFiles(LIMITS, host, 'legacy').read(value, 7, 9.)


def test_a_wrong_key_and_a_host_that_is_gone(host):
    with pytest.raises(UserError, match='status 401'):
        LabelStudioFiles(LIMITS, host, 'wrong').read('/data/upload/1/a.png', 7, 9.)
    with pytest.raises(UserError, match='--label-studio-url'):
        LabelStudioFiles(LIMITS, 'http://127.0.0.1:9', 'key').read('/data/upload/1/a.png', 7, 9.)
    for address, key, message in (('127.0.0.1:8080', 'key', 'the address of Label Studio'),
                                  ('ftp://a', 'key', 'the address of Label Studio'),
                                  ('http://a', None, 'an API key')):
        with pytest.raises(UserError, match=message):
            LabelStudioFiles(LIMITS, address, key)
