"""The page as a person uses it, in a browser without a window; needs playwright and Chromium.

The picture of the documentation is made anew by::

    GLIPKIT_PAGE_PICTURE=docs/images/page.png pytest tests/test_serve/test_page_browser.py
"""
from __future__ import annotations

import csv
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

pytest.importorskip('gradio', reason='the page comes with the extra serve')
playwright = pytest.importorskip('playwright.sync_api', reason='no playwright to steer a browser')

from PIL import Image  # noqa: E402

import glipkit  # noqa: E402
from glipkit.serve.api import create_app  # noqa: E402
from glipkit.serve.learners import learn_task  # noqa: E402
from glipkit.serve.page.examples import DRAWN, SIDE, write_examples  # noqa: E402
from glipkit.serve.page.files import page_folder  # noqa: E402
from glipkit.serve.service import Limits, Service  # noqa: E402
from tests.test_serve.page_service import serving  # noqa: E402

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
#: Where the picture for the documentation goes; no picture without it.
PICTURE = os.environ.get('GLIPKIT_PAGE_PICTURE')
TOKEN = 'a-long-word'
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    BROWSER is None, reason=f'none of {", ".join(BROWSERS)} is installed (apt-get install '
                            'chromium)')]


class Counted(Service):
    """Counts how often the model was asked, and learns in so many steps, however long they take."""

    calls, steps = 0, 6

    def predict(self, *args, **kwargs):
        self.calls += 1
        return super().predict(*args, **kwargs)


@pytest.fixture(scope='module')
def service():
    made = Counted(glipkit.Predictor('glip-mini'), name='glip-mini',
                   limits=Limits(max_pixels=300_000),
                   learner=lambda *lesson: learn_task(*lesson, steps=made.steps))
    return made


@pytest.fixture(scope='module')
def address(service):
    # Gradio forgets the state of a closed tab after a second then, instead of an hour.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('GRADIO_IS_E2E_TEST', '1')
        with serving(create_app(service, token=TOKEN)) as address:
            yield address


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A picture of shapes, one of others, one that is too large, and a text that calls itself one.
    """
    folder = tmp_path_factory.mktemp('uploads')
    one, other = write_examples(DRAWN, folder)
    Image.new('RGB', (700, 600)).save(folder / 'large.png')
    (folder / 'notes.png').write_text('no picture')
    return dict(one=one, other=other, large=folder / 'large.png', notes=folder / 'notes.png')


@pytest.fixture(scope='module')
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture
def tabs(chromium, address):
    """A function that opens the page in a tab; at the end nothing may have left the machine."""
    context = chromium.new_context(viewport=dict(width=1200, height=900), has_touch=True,
                                   http_credentials=dict(username='any', password=TOKEN))
    asked: list[str] = []

    def open_tab():
        tab = context.new_page()
        tab.set_default_timeout(20_000)
        tab.on('request', lambda request: asked.append(request.url))
        tab.goto(address, wait_until='domcontentloaded')
        tab.locator('#glipkit-find').wait_for()
        says(tab, 'Add a picture')
        return tab

    yield open_tab
    context.close()
    assert asked and not [url for url in asked if not url.startswith((address, 'data:', 'blob:'))]


def says(tab, text, place='status'):
    playwright.expect(tab.locator(f'#glipkit-{place}')).to_contain_text(text, timeout=20_000)


def add(tab, *files):
    tab.locator('#glipkit-pictures input[type=file]').set_input_files(list(map(str, files)))


def ask(tab, words):
    box = tab.get_by_label('Words, with commas between')
    box.fill(words)
    box.press('Enter')


def rows(tab):
    """The cells of the table."""
    return [row.locator('td').all_inner_texts()
            for row in tab.locator('#glipkit-table tbody tr').all()]


def open_part(tab, name):
    """Opens one of the closed parts of the page."""
    tab.get_by_role('button', name=name).click()


def place_of(tab, x, y):
    """Where a pixel of a drawn picture is in the window; small pictures are shown as they are."""
    image = tab.locator('#glipkit-canvas img')
    image.scroll_into_view_if_needed()
    area = image.bounding_box()
    scale = min(1, area['width'] / SIDE, area['height'] / SIDE)
    return (area['x'] + area['width'] / 2 + (x - SIDE / 2) * scale,
            area['y'] + area['height'] / 2 + (y - SIDE / 2) * scale)


def download(tab, name):
    with tab.expect_download() as begun:
        tab.get_by_role('button', name=f'Download {name}').click()
    return begun.value.suggested_filename, Path(begun.value.path()).read_bytes()


def test_upload_words_slider_download(tabs, service, files):
    tab = tabs()
    add(tab, files['one'])
    says(tab, '1 picture added')
    before = service.calls
    ask(tab, DRAWN[0].words)
    says(tab, '4 things found in 1 picture')
    assert sorted(row[1] for row in rows(tab)) == sorted(DRAWN[0].words.split(', '))
    image = tab.locator('#glipkit-result img').first
    assert image.get_attribute('alt') == 'shapes.png: 4 things'
    if PICTURE:
        tab.locator('#glipkit-title').hover()
        tab.wait_for_timeout(500)
        shot = Image.open(io.BytesIO(tab.screenshot(full_page=True))).convert('RGB')
        # No more bytes than the other pictures of the documentation have.
        shot.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(
            PICTURE, optimize=True)
    slider = tab.get_by_label('range slider for Show what has a score of at least')
    slider.focus()
    slider.press('End')
    says(tab, 'move the slider to the left')
    slider.press('Home')
    says(tab, 'things found in 1 picture')
    assert len(rows(tab)) >= 4
    tab.get_by_label('number input for Show').fill('0.6')
    says(tab, '4 things found')
    name, content = download(tab, 'COCO')
    coco = json.loads(content)
    assert name == 'coco.json' and coco['images'][0]['file_name'] == 'shapes.png'
    assert len(coco['annotations']) == len(coco['categories']) == 4
    name, content = download(tab, 'YOLO')
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert name == 'yolo.zip' and len(packed.read('labels/shapes.txt').splitlines()) == 4
    name, content = download(tab, 'CSV')
    found = list(csv.DictReader(io.StringIO(content.decode())))
    assert {row['image'] for row in found} == {'shapes.png'} and len(found) == 4
    assert service.calls - before == 1  # everything since the words came from what was kept


def test_bad_uploads_and_empty_words(tabs, service, files, tmp_path):
    tab = tabs()
    before = service.calls
    tab.get_by_role('button', name='3. Find').click()
    says(tab, 'Add one, or click on an example')
    add(tab, files['notes'], files['one'])
    says(tab, 'notes.png: Expected an image that can be read whole')
    says(tab, '1 picture added')
    add(tab, files['large'])
    says(tab, 'large.png: Expected an image of at most 300000 pixels')
    playwright.expect(tab.locator('#glipkit-status [role=alert]')).to_be_visible()
    (tmp_path / 'notes.txt').write_text('no picture')
    add(tab, tmp_path / 'notes.txt')
    playwright.expect(tab.locator('.toast-wrap')).to_contain_text('Invalid file type')
    ask(tab, ' , ')
    says(tab, 'Type what to look for')
    assert service.calls == before


def test_two_tabs_at_once(tabs, service, files):
    first, second = tabs(), tabs()
    folder = page_folder().path / 'tabs'
    add(first, files['one'])
    add(second, files['other'])
    says(first, '1 picture added')
    says(second, '1 picture added')
    ask(first, 'large red plain circle')
    ask(second, 'large green plain cross, small red plain square')
    says(first, '1 thing found')
    says(second, '2 things found')
    slider = second.get_by_label('range slider for Show what has a score of at least')
    slider.press('End')
    says(second, 'move the slider')
    assert [row[:2] for row in rows(first)] == [['shapes.png', 'large red plain circle']]
    second.get_by_role('button', name='Start over').click()
    says(second, 'Add a picture')
    says(first, '1 thing found')
    kept = len(list(folder.iterdir()))
    assert kept >= 1
    first.close()  # what it had is removed from the disk, too
    for _ in range(100):
        if len(list(folder.iterdir())) < kept:
            break
        second.wait_for_timeout(100)
    assert len(list(folder.iterdir())) < kept


def test_example_by_one_click(tabs):
    tab = tabs()
    tab.locator('#glipkit-examples button').first.click()
    says(tab, '4 things found')
    assert tab.get_by_label('Words, with commas between').input_value() == DRAWN[0].words
    tab.get_by_label('Sentence').check()
    box = tab.get_by_label('A sentence; its things are looked for')
    box.fill('a large red plain circle')
    box.press('Enter')
    says(tab, 'in 1 picture')


#: The large red circle of the first drawn picture, and one of what is not meant.
CIRCLE, STAR = (78, 141, 227, 290), (183, 11, 324, 146)


def test_a_thing_is_shown_with_mouse_finger_and_keys_learned_and_found(tabs, files, tmp_path):
    tab = tabs()
    add(tab, files['one'], files['other'])
    says(tab, '2 pictures added')
    open_part(tab, 'No words for it?')
    says(tab, 'Click on two opposite corners', 'marks')
    tab.mouse.click(*place_of(tab, *CIRCLE[:2]))
    says(tab, 'Now click on the opposite corner', 'marks')
    tab.touchscreen.tap(*place_of(tab, *CIRCLE[2:]))
    says(tab, '1 box so far', 'marks')
    drawn = tab.locator('#glipkit-marks td').nth(3).inner_text()
    assert all(abs(int(side) - true) <= 3 for side, true in zip(drawn.split(', '), CIRCLE)), drawn
    corners = tab.get_by_label('Without a mouse')
    corners.fill('10, 10, 900, 20')
    corners.press('Enter')
    says(tab, 'Expected a box', 'marks')
    assert corners.input_value() == '10, 10, 900, 20'
    tab.get_by_label('This is NOT it').check()
    corners.fill(', '.join(map(str, STAR)))
    corners.press('Enter')
    says(tab, '2 boxes so far', 'marks')
    tab.get_by_label('Name of the thing').fill('zorp')
    tab.get_by_label('Words, with commas between').fill('large yellow striped square')
    tab.get_by_role('button', name='Learn it and find it').click()
    says(tab, 'of 20 s')
    says(tab, 'found in 2 pictures')
    found = {row[1]: row for row in reversed(rows(tab)) if row[0] == 'shapes.png'}  # the best
    assert set(found) == {'zorp', 'large yellow striped square'}
    assert all(abs(float(side) - true) < 25 for side, true in zip(found['zorp'][3:], CIRCLE))
    with tab.expect_download() as begun:
        tab.get_by_role('button', name='Download the task file').click()
    assert begun.value.suggested_filename == 'zorp.safetensors'
    begun.value.save_as(tmp_path / 'zorp.safetensors')
    alone = glipkit.Predictor('glip-mini', task=tmp_path / 'zorp.safetensors')(files['one'])[0]
    assert alone.names[0] == 'zorp'
    assert alone.scores[0] == pytest.approx(float(found['zorp'][2]), abs=.01)
    tab.get_by_label('zorp', exact=True).uncheck()
    ask(tab, 'large yellow striped square')
    says(tab, '1 thing found in 2 pictures')
    tab.get_by_role('button', name='Start over').click()
    says(tab, 'Add a picture', 'marks')
    playwright.expect(tab.locator('#glipkit-things')).to_be_hidden()


def test_a_lesson_is_stopped(tabs, service, files, monkeypatch):
    monkeypatch.setattr(service, 'steps', 100_000)
    tab = tabs()
    add(tab, files['one'])
    says(tab, '1 picture added')
    open_part(tab, 'No words for it?')
    tab.get_by_role('button', name='Learn it and find it').click()
    says(tab, 'Expected a box around the thing')
    says(tab, 'Expected a box around the thing', 'marks')
    tab.get_by_label('Without a mouse').fill(', '.join(map(str, CIRCLE)))
    tab.get_by_label('Without a mouse').press('Enter')
    says(tab, '1 box so far', 'marks')
    tab.get_by_role('button', name='Take the last one back').click()
    playwright.expect(tab.locator('#glipkit-marks table')).to_have_count(0)
    tab.get_by_label('Without a mouse').fill(', '.join(map(str, CIRCLE)))
    tab.get_by_label('Without a mouse').press('Enter')
    says(tab, '1 box so far', 'marks')
    tab.get_by_label('Name of the thing').fill('zorp')
    tab.get_by_role('button', name='Learn it and find it').click()
    says(tab, 'of 20 s')
    tab.get_by_role('button', name='Stop', exact=True).click()
    says(tab, 'Learning was stopped')
    assert not rows(tab)


def test_every_part_has_a_name_for_those_who_do_not_see(tabs):
    tab = tabs()
    for name in ('No words for it?', 'Look-alikes and groups'):
        open_part(tab, name)
    says(tab, 'opposite corners', 'marks')
    nameless = tab.evaluate('''() => [...document.querySelectorAll('button, input, textarea')]
        .filter(part => part.offsetParent && !part.innerText.trim() && !part.ariaLabel
                && !part.title && !(part.labels && part.labels.length)
                && !part.closest('label') && !part.querySelector('img[alt]'))
        .map(part => part.outerHTML.slice(0, 200))''')
    assert not nameless
    assert tab.locator('html').get_attribute('lang') and tab.locator('h1').count() == 1


def test_without_the_token_nothing_is_shown(chromium, address):
    context = chromium.new_context()
    for path in ('', '/config', '/gradio_api/upload', '/gradio_api/file=/etc/passwd', '/assets/x'):
        answer = context.request.get(address + path)
        assert answer.status == 401 and 'gradio' not in answer.text().lower(), path
    context.close()
