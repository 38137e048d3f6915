"""The library is silent unless somebody listens."""
from __future__ import annotations

import threading

import pytest

from glipkit.common import reporter
from glipkit.common.reporter import Bar, ConsoleReporter, Reporter, note, reporting, track


class Recorder(Reporter):

    def __init__(self):
        self.notes, self.bars = [], []

    def note(self, text):
        self.notes.append(text)

    def bar(self, title, total=None, unit='item', done=0, scale=False):
        self.bars.append((title, total, unit, Bar(done)))
        return self.bars[-1][-1]


def test_silent_by_default(capsys):
    note('nobody hears this')
    assert list(track([1, 2], 'counting')) == [1, 2]
    assert capsys.readouterr() == ('', '')


def test_the_current_reporter_hears_notes_and_progress():
    with reporting(Recorder()) as heard:
        note('begins')
        assert list(track(iter('ab'), 'letters', 2, 'letter')) == ['a', 'b']
        with reporting(Recorder()) as inner:
            note('inside')
    note('after')
    assert heard.notes == ['begins'] and inner.notes == ['inside']
    (title, total, unit, shown), = heard.bars
    assert (title, total, unit, shown.done) == ('letters', 2, 'letter', 2)


def test_an_error_ends_the_bar_and_the_reporting():
    with pytest.raises(ZeroDivisionError), reporting(Recorder()) as heard:
        for _ in track([1, 2], 'dividing'):
            raise ZeroDivisionError
    note('after')
    assert not heard.notes


def test_threads_begin_silent():
    with reporting(Recorder()) as heard:
        thread = threading.Thread(target=note, args=['from a thread'])
        thread.start()
        thread.join()
    assert not heard.notes


def test_pipes_get_whole_lines(capsys, monkeypatch):
    monkeypatch.setattr(reporter, 'LINE_INTERVAL', 0.)
    with reporting(ConsoleReporter()):
        note('begins')
        with reporter.bar('training', 3, 'step', done=1) as bar:
            bar.show(loss='0.5')
            bar.update()
    out, err = capsys.readouterr()
    assert out == 'begins\n' and err == 'training: 2 of 3 step, loss 0.5\n' and '\r' not in err
