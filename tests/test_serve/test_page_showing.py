"""Things that a person shows on the page by boxes, without a browser."""
from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from glipkit.errors import UserError
from glipkit.serve.page.actions import Actions
from glipkit.serve.page.files import PageFolder
from glipkit.serve.page.marks import MEANT, NOT_MEANT, Marks, named
from glipkit.serve.page.parts import OWN_SLIDER, SLIDER, updates
from glipkit.serve.page.session import FLOOR, TASK, WORDS, Asked, Cut, what_is_asked
from glipkit.serve.page.showing import CORNER, Showing
from glipkit.text.query import Query
from tests.test_serve.conftest import until
from tests.test_serve.page_service import FixedService
from tests.test_serve.test_page import upload


@pytest.fixture
def folder(tmp_path):
    made = PageFolder(tmp_path)
    yield made
    made.close()


@pytest.fixture
def page(shown, folder):
    """Actions, showing and a session of two pictures: 60 x 40, and one larger than the browser's.
    """
    actions = Actions(shown.service, folder, [])
    shown.service.limits.__dict__['max_pixels'] = 10**7
    session = actions.add(None, [upload(folder), upload(folder, 'large.png', size=(2560, 640))],
                          Cut(0.)).session
    return actions, Showing(shown.service), session


def test_what_was_shown_is_asked_beside_the_words():
    learned = ('part-1', ['our part'])
    asked = what_is_asked(WORDS, 'cup = mug, a', '', None, 'm', 'plate', '', learned)
    assert asked == Asked(Query.for_classes(['cup', 'a', 'our part'], synonyms={'cup': ['mug']}),
                          task='part-1', model='m', negative_classes=('plate',))
    only = what_is_asked(WORDS, '', '', None, learned=learned)
    assert only == Asked(('our part',), task='part-1')
    assert what_is_asked(WORDS, 'our part, cup', '', None, learned=learned).classes == (
        'our part', 'cup')
    # What was unticked is not looked for.
    assert what_is_asked(WORDS, 'cup', '', None, learned=('part-1', [])) == Asked(('cup',))


def test_two_clicks_make_a_box_in_pixels_of_the_picture(page):
    _, showing, session = page
    first = showing.canvas(session, None, None)
    assert first.picture == 'a.png' and 'opposite corners' in first.message
    plain = np.asarray(Image.open(first.file), int)
    one = showing.click(session, first.marks, 'a.png', (40, 30), 'our part', MEANT)
    assert one.message == CORNER and one.marks.drawn == ()
    two = showing.click(session, one.marks, 'a.png', (9, 10), 'our part', MEANT)
    assert [mark.box for mark in two.marks.drawn] == [(9., 10., 41., 31.)]
    drawn = np.asarray(Image.open(two.file), int)
    assert np.abs(drawn - plain)[20, 9].max() > 60 and np.abs(drawn - plain)[5, 50].max() < 30
    # What the browser shows of the large picture has half its sides.
    three = showing.click(session, two.marks, 'large.png', (0, 0), '', NOT_MEANT)
    three = showing.click(session, three.marks, 'large.png', (1279, 319), '', NOT_MEANT)
    mark = three.marks.drawn[1]
    assert mark.box == (0., 0., 2560., 640.) and not mark.meant and mark.picture == 'large.png'
    assert len(list(session.folder.glob('marks-*'))) <= 4


def test_corners_as_numbers_and_taking_back(page):
    _, showing, session = page
    one = showing.type(session, None, 'a.png', '10, 5, 40 35.5', 'x', MEANT)
    assert one.marks.drawn[0].box == (10., 5., 40., 35.5) and '1 box so far' in one.message
    for text in ('', '1, 2, 3', '40, 5, 10, 9', '0, 0, 900, 9', 'left'):
        wrong = showing.type(session, one.marks, 'a.png', text, 'x', MEANT)
        assert wrong.alarm and 'Expected' in wrong.message and wrong.marks.drawn == one.marks.drawn
    same = showing.click(session, one.marks, 'a.png', (7, 7), 'x', MEANT)
    assert showing.click(session, same.marks, 'a.png', (8, 8), 'x', MEANT).alarm
    assert showing.undo(session, same.marks, 'a.png').marks.corner is None
    assert showing.undo(session, one.marks, 'a.png').marks.drawn == ()
    assert showing.undo(session, Marks(), 'a.png').marks.drawn == ()
    assert showing.click(None, None, None, (1, 1), '', MEANT).message == 'Add a picture first.'


def test_the_name_may_come_last_or_be_changed(page):
    _, showing, session = page
    drawn = showing.type(session, None, 'a.png', '1, 1, 9, 9', '', MEANT).marks
    with pytest.raises(UserError, match='a name of the thing'):
        named(drawn, ' ')
    assert named(drawn, 'nut').names() == ['nut']
    both = showing.type(session, named(drawn, 'nut'), 'a.png', '5, 5, 20, 20', 'bolt', MEANT).marks
    assert named(both, 'bolt').names() == ['nut', 'bolt'] == named(both, '').names()
    assert named(both, 'screw').names() == ['nut', 'screw']
    only = showing.type(session, None, 'a.png', '1, 1, 9, 9', 'nut', NOT_MEANT).marks
    with pytest.raises(UserError, match='a box around the thing'):
        named(only, 'nut')


def draw(showing, session):
    marks = showing.type(session, None, 'a.png', '10, 5, 40, 35', 'our part', MEANT).marks
    return showing.type(session, marks, 'large.png', '0, 0, 1280, 640', 'our part',
                        NOT_MEANT).marks


def test_what_was_drawn_is_learned_and_found_beside_words(page, shown):
    actions, showing, session = page
    steps = list(showing.learn(session, draw(showing, session), ''))
    assert steps[0].message == 'Learning our part …' and 'Learned our part' in steps[-1].message
    (one,), seconds = shown.steps.seen[0]
    assert [picture.size for picture in one.pictures] == [(60, 40), (1600, 400)]
    assert one.boxes == (((10., 5., 40., 35.),), ()) and seconds == 20
    assert one.negatives == ((), ((0., 0., 800., 400.),))
    taught = steps[-1].taught
    assert taught.file.read_bytes() == taught.learned.content
    assert showing.still(taught) is taught
    found = list(actions.find(session, Cut(FLOOR), WORDS, '', '', None, None, '', '',
                              (taught.learned.task, ['our part'])))[-1]
    assert {row[1] for row in found.view.rows} == {'our part'}
    actions.start_over(session)
    assert showing.still(taught) is None and shown.learning.find(taught.learned.task) is None


def test_a_lesson_on_the_page_is_stopped(page, shown):
    _, showing, session = page
    shown.steps.go.clear()
    steps = showing.learn(session, draw(showing, session), '')
    until(lambda: ': learning, ' in next(steps).message)
    showing.stop(session)
    shown.steps.go.set()
    assert list(steps)[-1].message == 'Learning was stopped.'
    # Who closes the tab gives the place back, too.
    shown.steps.go.clear()
    steps = showing.learn(session, draw(showing, session), '')
    next(steps), next(steps)
    steps.close()
    with shown.learning.place(), shown.learning.place():
        busy = list(showing.learn(session, draw(showing, session), ''))[-1]
    assert busy.alarm and '2 others' in busy.message


def test_lessons_that_cannot_begin(page, shown):
    _, showing, session = page
    for marks, name, message in ((None, 'x', 'a box around the thing'),
                                 (showing.type(session, None, 'a.png', '1, 1, 9, 9', '',
                                               MEANT).marks, '', 'a name of the thing')):
        step, = showing.learn(session, marks, name)
        assert step.alarm and message in step.message
    assert list(showing.learn(None, None, 'x'))[-1].alarm and not shown.steps.seen


def test_a_calibrated_task_shows_what_passes_its_own_thresholds(folder):
    service = FixedService()
    service.own = {'a thing': .5}
    actions = Actions(service, folder, [])
    session = actions.add(None, [upload(folder)], Cut(0.05)).session
    asked = (TASK, '', '', 'shelf')
    # Scores 0.9 and 0.1.
    found = list(actions.find(session, Cut(0.05), *asked))[-1]
    assert [row[2] for row in found.view.rows] == [.9]
    slider, own = updates(found, Cut(0.05))[4:6]
    assert slider['label'] == f'{OWN_SLIDER}: a thing 0.50' and not slider['interactive']
    assert own['visible']
    shared = actions.redraw(found.session, Cut(0.05, own=False))
    assert [row[2] for row in shared.view.rows] == [.9, .1]
    assert updates(shared, Cut(0.05, False))[4]['label'] == SLIDER
    service.own = {'a thing': .95}
    none = list(actions.find(session, Cut(0.05), *asked))[-1]
    assert re.search('passes the threshold of its name. The best is a thing with 0.90',
                     none.message)
    words = list(actions.find(session, Cut(0.05), WORDS, 'cat', '', None))[-1]
    assert len(words.view.rows) == 2 and not updates(words, Cut(0.05))[5]['visible']
