"""The page over HTTP, as far as no browser is needed: its events, its files, its closed doors."""
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from glipkit.serve.page import mount_page
from glipkit.serve.page.files import page_folder
from tests.test_serve.page_service import FixedService, serving

pytest.importorskip('gradio', reason='the page comes with the extra serve')
httpx = pytest.importorskip('httpx')


@pytest.fixture(scope='module')
def page():
    """The service, and the address of its page."""
    from fastapi import FastAPI
    service = FixedService(max_bytes=20_000)
    app = FastAPI()
    app.get('/health')(lambda: 'well')
    with serving(mount_page(app, service)) as address:
        yield service, address


@pytest.fixture
def picture(tmp_path):
    Image.new('RGB', (60, 40), 'navy').save(tmp_path / 'a.png')
    return tmp_path / 'a.png'


@pytest.fixture
def web(page):
    with httpx.Client(base_url=page[1]) as client:
        yield client


def upload(web, name, content):
    return web.post('/gradio_api/upload', files={'files': (name, content)})


def parts(web):
    """The page's parts by their label or id, with their properties."""
    found = web.get('/config').json()['components']
    return {one['props'].get('elem_id'): one['props'] for one in found}


def cells(table):
    """The rows of a table as texts."""
    rows = re.findall('<tr>(.*?)</tr>', table.split('<tbody>')[1])
    return [' '.join(re.findall('<td>(.*?)</td>', row)) for row in rows]


@pytest.mark.slow
def test_two_visitors_with_a_client(page, picture):
    from gradio_client import Client, handle_file
    service, address = page
    before = len(service.asked)
    ask = ['Words', 'cat, dog', '', None, 'fixed', '', '', []]
    visitors = [Client(address, verbose=False) for _ in range(2)]
    for visitor in visitors:
        added = visitor.predict([dict(image=handle_file(str(picture)), caption=None)], 0.3,
                                True, api_name='/add')
        assert 'role="status"' in added[1] and '1 picture added' in added[1]
    found = visitors[0].predict(0.3, True, *ask, api_name='/find')
    assert cells(found[2]) == ['a.png cat 0.9 0.0 0.0 10.0 8.0', 'a.png dog 0.5 4.0 2.0 14.0 10.0']
    assert json.loads(Path(found[5]['value']).read_text())['images'][0]['file_name'] == 'a.png'
    redrawn = visitors[0].predict(0.05, True, api_name='/redraw')
    assert len(cells(redrawn[2])) == 3
    # The other one has its own picture, and no answer yet.
    assert 'Nothing was asked yet' in visitors[1].predict(0.05, True, api_name='/redraw')[0]
    assert len(service.asked) - before == 1


def test_page_needs_nothing_from_elsewhere_and_names_its_parts(web):
    config = web.get('/config').json()
    assert config['analytics_enabled'] is False
    assert 'googleapis' not in web.get('/theme.css').text
    named = parts(web)
    for name in ('pictures', 'examples', 'mode', 'words', 'sentence', 'threshold', 'result'):
        assert named[f'glipkit-{name}']['label'], name
    assert [choice[0] for choice in named['glipkit-mode']['choices']] == [
        'Words', 'Sentence', 'Task']
    assert named['glipkit-threshold']['value'] == 0.3
    assert web.get('/health').json() == 'well'


def test_uploads_are_served_and_nothing_else_is(page, web, tmp_path):
    path, = upload(web, 'a.png', b'content').json()
    assert web.get(f'/gradio_api/file={path}').content == b'content'
    folder = page_folder().path
    outside = tmp_path / 'secret.txt'
    outside.write_text('secret')
    link = folder / 'link.txt'
    link.symlink_to(outside)
    try:
        for name in [outside, link, '/etc/passwd', 'etc/passwd', 'README.md', f'{folder}/../x',
                     f'{folder}/../../etc/passwd', f'{folder}/%2e%2e/%2e%2e/etc/passwd',
                     f'{folder}/..%2f..%2fetc/passwd', f'{folder}%00', f'{folder}x/y',
                     f'file://{outside}', f'{page[1]}/health', 'http://example.org/', folder, '']:
            answer = web.get(f'/gradio_api/file={name}')
            assert answer.status_code in (403, 404) and 'secret' not in answer.text, name
    finally:
        link.unlink()


@pytest.mark.parametrize('path', [
    '/file=/etc/passwd', '/gradio_api/file/etc/passwd', '/static/../../../../etc/passwd',
    '/static/..%2f..%2f..%2f..%2fetc%2fpasswd', '/assets/%2e%2e/%2e%2e/%2e%2e/routes.py',
    '/svelte/../../routes.py', '/gradio_api/proxy=http://example.org/', '/monitoring',
    '/gradio_api/custom_component/x/server/component/../../../../../../etc/passwd', '/runs',
    '/gradio_api/runs', '/gradio_api/deep_link?session_hash=x', '/gradio_api/dev/reload',
    '/gradio_api/stream/x/y/1/playlist-file', '/gradio_api/openapi.json', '/gradio_api/mcp'])
def test_doors_that_are_closed(web, path):
    answer = web.get(path)
    assert answer.status_code in (403, 404), path
    assert 'root:' not in answer.text and 'import ' not in answer.text


@pytest.mark.parametrize('path', ['component_server', 'run/find', 'api/find', 'call/find',
                                  'call/v2/find', 'run-history/connect'])
def test_events_have_one_door(web, path):
    assert web.post(f'/gradio_api/{path}', json={}).status_code == 404


@pytest.mark.parametrize('value', [
    '/etc/passwd', 'http://example.org/a.png', '../a.png', 5,
    'https://user@example.org/', '/tmp/gradio/a.png'])
def test_an_event_names_uploads_only(page, web, value):
    file = dict(path=value, meta={'_type': 'gradio.FileData'})
    for data in ([[dict(image=file)], 0.3], [file, 0.3], [{'deep': [file]}, 0.3]):
        answer = web.post('/gradio_api/queue/join',
                          json=dict(data=data, fn_index=1, session_hash='abc'))
        assert answer.status_code == 403 and 'uploaded' in answer.text


def test_names_of_uploads_stay_inside(web):
    folder = page_folder().path
    for name in ('../../../escaped.png', '/etc/escaped.png', '..\\escaped.png'):
        for path in upload(web, name, b'x').json():
            assert Path(path).resolve().is_relative_to(folder)
    assert upload(web, 'large.png', bytes(30_000)).status_code == 413


def test_a_long_event_and_a_full_server_are_refused(web, monkeypatch):
    assert web.post('/gradio_api/queue/join', content=b'[' * 2_000_000).status_code == 413
    assert web.post('/gradio_api/queue/join', content=b'[' * 500_000).status_code == 403
    monkeypatch.setattr('glipkit.serve.page.guard.MAX_STORED', -1)
    assert upload(web, 'a.png', b'x').status_code == 503
