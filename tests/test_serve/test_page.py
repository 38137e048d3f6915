"""The page without a browser: what its buttons do, on values."""
from __future__ import annotations

import ast
import csv
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glipkit.errors import UserError
from glipkit.serve.page import build_page
from glipkit.serve.page import files as page_files
from glipkit.serve.page.actions import Actions
from glipkit.serve.page.examples import DRAWN, Example, examples_for, write_examples
from glipkit.serve.page.files import PageFolder, remove_abandoned
from glipkit.serve.page.session import (
    FLOOR,
    PICTURES,
    SENTENCE,
    TASK,
    WORDS,
    Asked,
    Cut,
    what_is_asked,
)
from glipkit.serve.page.words import split_words
from glipkit.serve.service import Busy
from glipkit.text.query import Query
from tests.test_serve.page_service import FixedService

EXAMPLE = Example('shapes.png', 'shapes', 'red circle', lambda: Image.new('RGB', (80, 60)))


@pytest.fixture
def folder(tmp_path):
    made = PageFolder(tmp_path)
    yield made
    made.close()


@pytest.fixture
def actions(folder):
    return Actions(FixedService(max_pixels=150_000), folder, [EXAMPLE])


def upload(folder, name='a.png', content=None, size=(60, 40)):
    """A file as gradio leaves it: in a folder of its own, whose name is a digest."""
    place = folder.path / f'{len(list(folder.path.iterdir())):064x}'
    place.mkdir()
    if content is None:
        Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(place / name)
    else:
        (place / name).write_bytes(content)
    return place / name


def find(actions, session, threshold=0.3, mode=WORDS, words='cat, dog', sentence='', task=None):
    return list(actions.find(session, Cut(threshold), mode, words, sentence, task))[-1]


@pytest.mark.parametrize('text, words', [
    ('red circle, blue star', ('red circle', 'blue star')),
    (' cat ,, dog,cat\nbird', ('cat', 'dog', 'bird')),
    ('"salt, pepper", oil', ('salt, pepper', 'oil')), ('', ()), (' , ', ()), (None, ())])
def test_words_between_commas(text, words):
    assert split_words(text) == words


def test_slider_redraws_without_asking_again(actions, folder):
    session = actions.add(None, [upload(folder), upload(folder, 'b.png')], Cut(0.3)).session
    shown = find(actions, session)
    # Scores 0.9, 0.5 and 0.1 in each of two pictures.
    assert [asked['score_threshold'] for asked in actions.service.asked] == [FLOOR] * 2
    assert len(shown.view.rows) == 4 and '4 things found in 2 pictures' in shown.message
    counts = [len(actions.redraw(shown.session, Cut(threshold)).view.rows)
              for threshold in (0.05, 0.5, 0.51, 0.95)]
    assert counts == [6, 4, 2, 0] and len(actions.service.asked) == 2
    assert 'The best is cat with 0.90' in actions.redraw(shown.session, Cut(0.95)).message
    again = find(actions, shown.session)  # the same question
    assert len(actions.service.asked) == 2 and len(again.view.rows) == 4
    find(actions, again.session, words='bird')
    assert len(actions.service.asked) == 4


def test_slider_that_moves_while_the_model_works(actions, folder):
    session = actions.add(None, [upload(folder)], Cut(0.3)).session
    steps = actions.find(session, Cut(0.3), WORDS, 'cat, dog', '', None)
    next(steps)
    assert actions.redraw(session, Cut(0.05)).view.rows == []
    shown = list(steps)[-1]
    assert len(shown.view.rows) == 2 and actions.catch_up(shown.session, Cut(0.3)) is None
    assert len(actions.catch_up(shown.session, Cut(0.05)).view.rows) == 3


def test_row_is_in_pixels_of_the_picture_and_box_is_drawn_on_what_is_shown(actions, folder):
    file = upload(folder, size=(300, 200))
    turned = Image.open(file)
    exif = turned.getexif()
    exif[0x0112] = 6  # lies on its side
    turned.save(file, exif=exif)
    session = actions.add(None, [file], Cut(0.3)).session
    assert Image.open(session.pictures[0].small).size == (200, 300)
    shown = find(actions, session, threshold=0.8, words='cat')
    assert shown.view.rows == [['a.png', 'cat', 0.9, 0., 0., 10., 8.]]
    (file, text), = shown.view.pictures
    assert text == 'a.png: 1 cat'
    before = np.asarray(Image.open(session.pictures[0].small), int)
    assert np.abs(np.asarray(Image.open(file), int) - before).max() > 60


def test_downloads_hold_what_is_shown(actions, folder):
    session = actions.add(None, [upload(folder), upload(folder)], Cut(0.3)).session
    assert [picture.name for picture in session.pictures] == ['a.png', 'a (2).png']
    files = find(actions, session, threshold=0.4).view.downloads
    coco = json.loads(files['coco'].read_text())
    assert [image['file_name'] for image in coco['images']] == ['a.png', 'a (2).png']
    assert coco['images'][0]['width'] == 60 and len(coco['annotations']) == 4
    with zipfile.ZipFile(files['yolo']) as packed:
        assert sorted(packed.namelist()) == ['data.yaml', 'labels/a (2).txt', 'labels/a.txt']
        assert packed.read('labels/a.txt').splitlines()[0].split()[0] == b'0'
    rows = list(csv.DictReader(io.StringIO(files['csv'].read_text())))
    assert [(row['image'], row['name']) for row in rows] == [
        ('a.png', 'cat'), ('a.png', 'dog'), ('a (2).png', 'cat'), ('a (2).png', 'dog')]


def test_ways_of_asking(actions, folder):
    session = actions.add(None, [upload(folder)], Cut(0.3)).session
    find(actions, session, mode=SENTENCE, sentence=' a cat on a mat ')
    find(actions, session, mode=TASK, task='shelf')
    assert [(asked['classes'], asked['caption'], asked['task']) for asked in actions.service.asked
            ] == [(None, 'a cat on a mat', None), (None, None, 'shelf')]


def test_other_names_look_alikes_and_groups():
    asked = what_is_asked(WORDS, 'cup = mug = coffee cup, plate', '', None, None, 'bowl, fox',
                          'cup, plate\n\n')
    assert asked == Asked(Query.for_classes(['cup', 'plate'],
                                            synonyms={'cup': ['mug', 'coffee cup']}),
                          negative_classes=('bowl', 'fox'), exclusive=(('cup', 'plate'), ))
    assert what_is_asked(WORDS, 'cup, plate', '', None) == Asked(('cup', 'plate'))
    with pytest.raises(UserError, match="'plate' as a class and as another name of 'cup'"):
        what_is_asked(WORDS, 'cup = plate, plate', '', None)


@pytest.mark.parametrize('form, message', [
    (dict(words=' , '), 'Type what to look for'), (dict(mode=SENTENCE), 'Type a sentence'),
    (dict(mode=TASK), 'Choose a task')])
def test_nothing_was_typed(actions, folder, form, message):
    session = actions.add(None, [upload(folder)], Cut(0.3)).session
    shown = find(actions, session, **form)
    assert message in shown.message and shown.alarm and shown.session is session
    assert not actions.service.asked


def test_find_without_a_picture(actions):
    shown = find(actions, None)
    assert 'Add one, or click on an example' in shown.message and shown.alarm


def test_bad_uploads_cost_no_good_one(actions, folder):
    whole = upload(folder).read_bytes()
    shown = actions.add(None, [
        upload(folder, 'notes.png', b'hello'), upload(folder, 'good.png'),
        upload(folder, 'cut.png', whole[:-40]), upload(folder, 'wide.png', size=(500, 400)),
        Path('/etc/hostname'), upload(folder, 'page.svg', b'<svg/>')], Cut(0.3))
    assert [picture.name for picture in shown.session.pictures] == ['good.png']
    assert shown.alarm and shown.message.startswith('1 picture added. notes.png: Expected')
    for name, reason in [('notes.png', 'no image of a known kind'), ('cut.png', 'truncated'),
                         ('wide.png', '500 x 400. Make it smaller'), ('hostname', 'uploaded')]:
        assert reason in shown.message.split(f'{name}: ')[1].split('.png: ')[0], name


def test_too_many_pictures(actions, folder):
    shown = actions.add(None, [upload(folder)] * (PICTURES + 1), Cut(0.3))
    assert len(shown.session.pictures) == PICTURES and f'at most {PICTURES}' in shown.message


def test_busy_server_keeps_what_was_found(actions, folder):
    session = actions.add(None, [upload(folder, f'{i}.png') for i in range(3)], Cut(0.3)).session
    actions.service.fails[1] = Busy('32 requests are being served; try again soon')
    shown = find(actions, session)
    assert shown.alarm and 'Try again soon' in shown.message.replace('; t', '. T')
    assert len(actions.service.asked) == 2  # who waits shall not wait for the third, too
    assert '2 things found in 1 picture' in shown.message and len(shown.view.pictures) == 3
    again = find(actions, shown.session)
    assert len(again.view.rows) == 6 and len(actions.service.asked) == 4  # the first one is kept


def test_refused_question_is_told_once(actions, folder):
    session = actions.add(None, [upload(folder, f'{i}.png') for i in range(3)], Cut(0.3)).session
    for number in range(3):
        actions.service.fails[number] = UserError('shorter words', 'long ones', 'cut them')
    assert find(actions, session).message.count('Cut them') == 1


def test_an_answer_to_other_words_is_not_shown(actions, folder):
    session = find(actions, actions.add(None, [upload(folder)], Cut(0.3)).session).session
    actions.service.fails[1] = UserError('a word', 'a bird', 'ask for cats')
    shown = find(actions, session, words='bird')
    assert shown.view.rows == [] and shown.view.downloads == {}


def test_sessions_do_not_mix(actions, folder):
    one = actions.add(None, [upload(folder)], Cut(0.3)).session
    two = actions.add(None, [upload(folder)], Cut(0.3)).session
    assert one.folder != two.folder
    first, second = find(actions, one, words='cat'), find(actions, two, words='dog')
    actions.start_over(two)
    assert [row[1] for row in actions.redraw(first.session, Cut(0.3)).view.rows] == ['cat']
    shown = actions.redraw(second.session, Cut(0.3))
    assert shown.session is None and 'Add them again' in shown.message


def test_example_fills_the_page(actions):
    shown = actions.example(None, 0, Cut(0.3))
    assert [picture.name for picture in shown.session.pictures] == ['shapes.png']


def test_examples_are_of_what_a_model_knows(tmp_path):
    assert examples_for('glip-mini') == DRAWN
    photographs = examples_for('glip-photo')
    assert photographs and not set(photographs) & set(DRAWN)
    for file in write_examples([*DRAWN, *photographs], tmp_path):
        assert min(Image.open(file).size) > 200


def test_files_of_tabs(folder, monkeypatch):
    assert folder.path.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(page_files, 'SESSIONS', 3)
    tabs = [folder.new_session() for _ in range(3)]
    for age, tab in enumerate(tabs):
        os.utime(tab, (1000 - age, 1000 - age))
    assert folder.new_session().is_dir() and [tab.is_dir() for tab in tabs] == [True, True, False]
    file = upload(folder)
    kept = folder.take(file, tabs[0], 'kept')
    assert folder.sweep() > 0 and file.is_file()
    monkeypatch.setattr(page_files, 'UPLOAD_AGE', -1)
    folder.sweep()
    assert not file.exists() and kept.is_file()


def test_folder_of_a_killed_process_is_removed_and_one_in_use_is_not(tmp_path, folder):
    left = tmp_path / 'glipkit-page-left'
    left.mkdir()
    (left / 'in-use').touch()
    remove_abandoned(tmp_path)
    assert not left.exists() and folder.path.is_dir()
    folder.close()
    assert not folder.path.exists()


def test_gradio_is_imported_late_and_its_absence_is_told(monkeypatch):
    for path in Path(page_files.__file__).parent.glob('page*.py'):
        tree = ast.parse(path.read_text())
        loaded = {alias.name for node in tree.body if isinstance(node, ast.Import)
                  for alias in node.names}
        assert 'gradio' not in loaded
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(UserError, match=r"pip install 'glipkit\[serve\]'"):
        build_page(FixedService())
