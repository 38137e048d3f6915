"""The HTTP interface: what it answers, what it refuses, and that it reads no file of the server."""
from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from glipkit.errors import UserError
from glipkit.serve.api import create_app
from glipkit.serve.service import Busy, Service
from glipkit.serve.uploads import from_base64, open_image
from glipkit.text.query import Query
from tests.test_serve.conftest import FISH, LIMITS, encoded, shot

NAMES = ['red circle', 'blue star']
SECRET = 'a long word, naïve'


@pytest.fixture(scope='module')
def client(shared):
    # Without its end, which would close the service for the tests that follow.
    return TestClient(create_app(shared, page=False), raise_server_exceptions=False)


@pytest.fixture(scope='module')
def guarded(shared):
    return TestClient(create_app(shared, page=False, token=SECRET), raise_server_exceptions=False)


def form(image, name='a.png', **fields):
    content = image if isinstance(image, bytes) else encoded(image)
    return dict(files={'image': (name, content)}, data=fields)


def body(image, **fields):
    content = image if isinstance(image, bytes) else encoded(image)
    return dict(json={'image': base64.b64encode(content).decode(), **fields})


def as_rows(found):
    """What the answer should hold of detections: box as x, y, width, height; score; name."""
    return [([x1, y1, x2 - x1, y2 - y1], score, name)
            for (x1, y1, x2, y2), score, _, name in found]


def assert_answer(answer, found):
    assert answer.status_code == 200, answer.text
    content = answer.json()
    rows = content['annotations']
    assert content['images'] == [{'id': 0, 'width': found.size[1], 'height': found.size[0],
                                  'file_name': content['images'][0]['file_name']}]
    assert [row['category_name'] for row in rows] == found.names
    for row, (box, score, _) in zip(rows, as_rows(found)):
        np.testing.assert_allclose(row['bbox'], box, atol=2e-3)
        assert row['score'] == pytest.approx(score, abs=1e-5)
    return content


def test_a_form_and_json_give_what_the_predictor_gives(client, predict):
    found = predict(shot(), classes=NAMES)[0]
    assert len(found)
    answer = client.post('/predict', **form(shot(), classes='red circle, blue star'))
    content = assert_answer(answer, found)
    assert content['categories'] == [{'id': 0, 'name': NAMES[0]}, {'id': 1, 'name': NAMES[1]}]
    assert content['info'] == {'model': 'tiny', 'task': None, 'score_threshold': 0.}
    assert {row['id'] for row in content['annotations']} == set(range(1, len(found) + 1))
    assert_answer(client.post('/predict', **form(shot(), classes=NAMES)), found)
    assert_answer(client.post('/predict', **body(shot(), classes=NAMES)), found)
    url = 'data:image/png;base64,' + base64.b64encode(encoded(shot())).decode()
    assert_answer(client.post('/predict', json={'image': url, 'classes': NAMES}), found)
    caption = 'a dog beside a red car'
    assert_answer(client.post('/predict', **form(shot(), caption=caption, classes='')),
                  predict(shot(), caption=caption)[0])


def test_other_names_negatives_and_groups(client, predict):
    names = {'red circle': ['round thing'], 'blue star': []}
    query = Query.for_classes(names, synonyms=names, combine='mean')
    parts = dict(negative_classes=['dot'], exclusive=[NAMES])
    found, = predict(shot(), query, **parts)
    assert_answer(client.post('/predict', **body(shot(), classes=names, combine='mean', **parts)),
                  found)
    found, = predict(shot(), NAMES, **parts)
    fields = dict(classes='red circle, blue star', negative_classes='dot',
                  exclusive='red circle, blue star')
    assert_answer(client.post('/predict', **form(shot(), **fields)), found)
    for wrong, said in ((dict(negative_classes=NAMES), 'as a class and as a negative'),
                        (dict(exclusive=[['cup', 'red circle']]), 'which is no class'),
                        (dict(combine='sum'), 'combine'), (dict(exclusive=['cup']), 'exclusive')):
        answer = client.post('/predict', **body(shot(), classes=NAMES, **wrong))
        assert answer.status_code == 422 and said in answer.text
    many = [f'thing {i}' for i in range(30)]  # of at most 50 names together
    answer = client.post('/predict', **body(shot(), classes=many, negative_classes=[
        f'other {i}' for i in range(30)]))
    assert answer.status_code == 413


def test_tasks_by_name_with_their_ids(client, predict):
    content = assert_answer(client.post('/predict', **form(shot(), task='fish')),
                            predict(shot(), task='fish')[0])
    assert content['categories'] == [{'id': key, 'name': name} for key, name in FISH.items()]
    ids = {row['category_name']: row['category_id'] for row in content['annotations']}
    assert ids and all(FISH[key] == name for name, key in ids.items())
    assert content['info']['task'] == 'fish'
    assert client.get('/tasks').json()['tasks'][0] == {'name': 'fish',
                                                       'classes': list(FISH.values())}


def test_the_answer_is_a_coco_data_set(client, tmp_path):
    coco = pytest.importorskip('pycocotools.coco')
    path = tmp_path / 'answer.json'
    path.write_text(client.post('/predict', **form(shot(), classes=NAMES)).text)
    read = coco.COCO(str(path))
    assert len(read.getAnnIds()) == len(read.anns) > 0 and set(read.cats) == {0, 1}


def kinds():
    """Name -> an image file of every kind, its pixels not square, some turned by EXIF."""
    image = shot(2, (40, 70))
    turned = Image.Exif()
    turned[0x0112] = 6
    grey = Image.fromarray(np.arange(2800, dtype=np.uint16).reshape(40, 70) * 23)
    return {
        'png': encoded(image), 'jpeg': encoded(image, 'JPEG'), 'webp': encoded(image, 'WEBP'),
        'bmp': encoded(image, 'BMP'), 'gif': encoded(image, 'GIF'), 'tiff': encoded(image, 'TIFF'),
        'turned jpeg': encoded(image, 'JPEG', exif=turned),
        'turned png': encoded(image, 'PNG', exif=turned),
        'cmyk': encoded(image.convert('CMYK'), 'JPEG'), 'grey': encoded(image.convert('L')),
        'clear': encoded(image.convert('RGBA')), 'palette': encoded(image.convert('P')),
        '16 bits': encoded(grey)}


@pytest.mark.parametrize('kind', kinds())
def test_every_kind_of_file_as_the_predictor_reads_it(client, predict, tmp_path, kind):
    content = kinds()[kind]
    path = tmp_path / 'image'
    path.write_bytes(content)
    answer = assert_answer(client.post('/predict', **form(content, classes=NAMES)),
                           predict(path, classes=NAMES)[0])
    assert answer['images'][0]['width'] == (40 if kind.startswith('turned') else 70)


def test_what_there_is(client):
    assert client.get('/health').json()['status'] == 'UP'
    assert client.get('/models').json() == {'models': [{'name': 'tiny', 'score_threshold': 0.}]}
    page = client.get('/openapi.json').json()
    assert {'/predict', '/models', '/tasks', '/health', '/label-studio/predict'} <= set(
        page['paths'])
    accepted = page['paths']['/predict']['post']['requestBody']['content']
    assert set(accepted) == {'multipart/form-data', 'application/json'}
    assert client.get('/docs').status_code == 200


def png(width, height):
    """The header of a PNG of any size, with hardly any pixels behind it."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack(
            '>I', zlib.crc32(kind + data))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0,
                                                              0, 0))
            + chunk(b'IDAT', zlib.compress(b'\0' * 1000)) + chunk(b'IEND', b''))


BAD = {
    'no image': (422, form(b'', classes='a'), 'an image that can be read whole'),
    'text as image': (422, form(b'hello', classes='a'), 'an image that can be read whole'),
    'cut off': (422, form(encoded(shot())[:300], classes='a'), 'an image that can be read whole'),
    'svg': (422, form(b'<svg xmlns="http://www.w3.org/2000/svg"/>', classes='a'), 'known kind'),
    'postscript': (422, form(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', classes='a'),
                   'known kind'),
    'no file': (422, dict(files={'x': b''}, data={'classes': 'a'}), 'file as the field image'),
    'a path for a file': (422, dict(files={'x': b''}, data={'image': '/etc/passwd'}),
                          'file as the field image'),
    'two files': (400, dict(files=[('image', b'1'), ('image', b'2')]), 'many files'),
    'nothing asked': (422, form(shot()), 'neither'),
    'both asked': (422, form(shot(), classes='a', caption='a dog'), 'both'),
    'unknown field': (422, form(shot(), classes='a', path='/etc/passwd'), 'path'),
    'task as path': (422, form(shot(), task='../../fish.safetensors'), 'the name of a task'),
    'task as address': (422, form(shot(), task='http://127.0.0.1/x'), 'the name of a task'),
    'other model': (422, form(shot(), classes='a', model='glip-l'), 'the model tiny'),
    'no number': (422, form(shot(), classes='a', score_threshold='high'), 'score_threshold'),
    'no score': (422, form(shot(), classes='a', score_threshold='7'), 'score_threshold'),
    'twice': (422, form(shot(), classes='a', caption=['b', 'c']), 'the field caption once'),
    'many classes': (413, form(shot(), classes=','.join(map(str, range(60)))), '50 class names'),
    'many pixels': (413, form(shot(0, (300, 300)), classes='a'), '40000 pixels'),
    'bomb': (413, form(png(30_000, 30_000), classes='a'), '40000 pixels'),
    'large bomb': (413, form(png(2_000_000, 2_000_000), classes='a'), '40000 pixels'),
    'many bytes': (413, form(b'\0' * 300_001, classes='a'), '300000 bytes'),
    'no type': (415, dict(content=b'x'), 'multipart/form-data'),
    'form without files': (415, dict(data={'image': '/etc/passwd'}), 'multipart/form-data'),
    'no json': (400, dict(content=b'{', headers={'content-type': 'application/json'}), 'JSON'),
    'deep json': (400, dict(content=b'[' * 100_000,
                            headers={'content-type': 'application/json'}), 'JSON'),
    'list': (422, dict(json=[1]), 'as /docs describes it'),
    'no such key': (422, body(shot(), classes=['a'], url='http://127.0.0.1'), 'url'),
    'classes as text': (422, body(shot(), classes='a'), 'classes'),
    'half a letter': (422, dict(content=json.dumps(body(shot(), classes=['\ud83d'])['json']),
                                headers={'content-type': 'application/json'}), 'whole characters'),
    'path': (422, dict(json={'image': '/etc/passwd', 'classes': ['a']}), 'in base64'),
    'relative path': (422, dict(json={'image': '../../secret.png', 'classes': ['a']}), 'in base64'),
    'file address': (422, dict(json={'image': 'file:///etc/hostname', 'classes': ['a']}),
                     'in base64'),
    'address': (422, dict(json={'image': 'http://127.0.0.1:1/a.png', 'classes': ['a']}),
                'in base64'),
    'no data': (422, dict(json={'image': 'data:text/html;base64,AAAA', 'classes': ['a']}),
                'in base64'),
    'other base64': (422, dict(json={'image': 'AAAA', 'classes': ['a']}), 'can be read whole'),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_input_is_one_line_with_its_status(client, case):
    status, request, message = BAD[case]
    answer = client.post('/predict', **request)
    assert answer.status_code == status, answer.text
    error = answer.json()['error']
    assert message in error and '\n' not in error and 'Traceback' not in error
    assert 'root:' not in answer.text


def test_other_methods_and_places(client):
    assert client.get('/predict').status_code == 405
    for path in ('/etc/passwd', '/../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/static/x',
                 '/file=/etc/passwd'):
        answer = client.get(path)
        assert answer.status_code == 404 and answer.json() == {'error': 'Not Found'}


def test_a_body_of_unknown_length_is_counted(shared):
    app, sent, parts = create_app(shared, page=False), [], []

    async def receive():
        assert len(parts) < 9, 'whoever waited for its end would wait for ever'
        parts.append(b' ' * 100_000)
        return {'type': 'http.request', 'body': parts[-1], 'more_body': True}

    async def send(message):
        sent.append(message)

    scope = {'type': 'http', 'http_version': '1.1', 'method': 'POST', 'path': '/predict',
             'raw_path': b'/predict', 'query_string': b'', 'scheme': 'http', 'root_path': '',
             'client': ('127.0.0.1', 1), 'server': ('127.0.0.1', 2),
             'headers': [(b'content-type', b'application/json')]}
    asyncio.run(app(scope, receive, send))
    assert sent[0]['status'] == 413 and b'300000 bytes' in sent[1]['body'] and len(parts) == 4


def test_a_name_with_folders_is_only_a_name(client):
    for name in ('../../x/a.png', '..\\..\\a.png', '/etc/a.png'):
        answer = client.post('/predict', **form(shot(), name, classes='a'))
        assert answer.json()['images'][0]['file_name'] == 'a.png'


PATHS = ('/', '/health', '/docs', '/openapi.json', '/models', '/label-studio/health',
         '/gradio_api/info', '/nowhere')


@pytest.mark.parametrize('header', [
    None, 'Bearer', 'Bearer x', f'Bearer {SECRET}x', f'Bearer {SECRET[:-1]}', f'Token {SECRET}',
    SECRET, 'Basic ???', 'Basic ' + base64.b64encode(b'name').decode(),
    'Basic ' + base64.b64encode(b'name:wrong').decode(),
    'Basic ' + base64.b64encode(f'{SECRET}:'.encode()).decode()])
def test_without_the_token_there_is_nothing(guarded, header):
    headers = {} if header is None else {'authorization': header.encode()}
    for path in PATHS:
        answer = guarded.get(path, headers=headers)
        assert answer.status_code == 401 and 'the token of this server' in answer.json()['error']
        assert answer.headers['www-authenticate'].startswith('Basic realm=')
    answer = guarded.post('/predict', headers=headers, **form(b'\0' * 400_000, classes='a'))
    assert answer.status_code == 401  # before the size, the place, and the body


def test_the_token_opens(guarded):
    basic = 'Basic ' + base64.b64encode(f'any name:{SECRET}'.encode()).decode()
    for header in (f'Bearer {SECRET}', f'bearer {SECRET}', basic):
        headers = {'authorization': header.encode()}
        assert guarded.get('/health', headers=headers).status_code == 200
    answer = guarded.post('/predict', headers=headers, **form(shot(), classes='a'))
    assert answer.status_code == 200


@pytest.mark.parametrize('token', ['', '  '])
def test_an_empty_token_is_refused(shared, token):
    with pytest.raises(UserError, match='expected a token'):
        create_app(shared, page=False, token=token)


def test_full_and_late(blocked):
    client = TestClient(create_app(blocked.service, page=False))
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(client.post, '/predict', **form(shot(), classes='a'))
                 for _ in range(3)]
        statuses = sorted(call.result(20).status_code for call in calls)
    assert statuses == [503, 504, 504]
    full = next(call.result() for call in calls if call.result().status_code == 503)
    assert int(full.headers['retry-after']) >= 1 and '2 requests' in full.json()['error']
    blocked.go.set()
    assert client.post('/predict', **form(shot(), classes='a')).status_code == 200


def test_an_error_of_the_model_shows_nothing_of_the_server(model, monkeypatch):
    from glipkit.apis.predictor import Predictor
    predictor = Predictor(model)

    def fail(*_):
        raise RuntimeError('/secret/place')

    monkeypatch.setattr(predictor, 'detect', fail)
    service = Service(predictor, limits=LIMITS)
    client = TestClient(create_app(service, page=False), raise_server_exceptions=False)
    answer = client.post('/predict', **form(shot(), classes='a'))
    assert answer.status_code == 500 and 'secret' not in answer.text
    service.close(20)


def test_the_end_of_the_application_closes_the_service(model):
    from glipkit.apis.predictor import Predictor
    service = Service(Predictor(model), limits=LIMITS)
    with TestClient(create_app(service, page=False)) as client:
        assert client.post('/predict', **form(shot(), classes='a')).status_code == 200
    answer = client.post('/predict', **form(shot(), classes='a'))
    assert answer.status_code == 503 and 'being stopped' in answer.json()['error']


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_a_bomb_costs_no_memory():
    with pytest.raises(UserError, match='pixels'):
        open_image(png(19_000, 9_000), LIMITS)
    stream = io.BytesIO(png(100, 100))
    with open_image(stream, LIMITS) as image:
        assert image.size == (100, 100) and stream.tell() < 100  # the header alone


def test_base64_with_line_ends():
    assert from_base64(base64.encodebytes(b'x' * 200).decode()) == b'x' * 200


@pytest.mark.slow
def test_the_page_is_behind_the_same_door(model):
    pytest.importorskip('gradio')
    from glipkit.apis.predictor import Predictor
    service = Service(Predictor(model), name='tiny', limits=LIMITS)
    right = {'auth': ('me', 'secret')}
    with TestClient(create_app(service, token='secret')) as client:
        for path in ('/', '/config', '/gradio_api/info', '/gradio_api/file=/etc/passwd',
                     '/gradio_api/startup-events'):
            assert client.get(path).status_code == 401
        assert client.post('/gradio_api/upload', files={'files': b'x'}).status_code == 401
        assert client.get('/', **right).status_code == 200
        assert client.get('/gradio_api/file=/etc/passwd', **right).status_code in (403, 404)
        assert client.post('/predict', **form(shot(), classes='a'), **right).status_code == 200
        assert client.get('/tasks', **right).json() == {'tasks': []}
        assert client.get('/docs', **right).status_code == 200
    with pytest.raises(Busy):
        service.predict(shot(), classes=['a'])  # the end of the application closed it
