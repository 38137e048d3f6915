"""A step beside another process: turns, ratios, and a neighbour that works when it is told to."""
from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from glipkit.benchmarks import beside, harness
from glipkit.benchmarks.neighbours import KINDS, Neighbour
from glipkit.cli.main import main


class FakeNeighbour:
    """Is busy without any work."""
    at_work = False

    def __init__(self, kind, threads):
        self.kind = kind

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert not self.at_work

    @contextmanager
    def busy(self):
        FakeNeighbour.at_work = True
        yield
        FakeNeighbour.at_work = False


class FakeWorker:
    """Takes a second alone, and longer beside a neighbour the longer its threads stay awake."""
    log: list = []
    beside = {beside.WAITS['glipkit']: 1.75, None: 1.5, '300000': 4., '0': 2.}

    def __init__(self, name, call):
        assert call.environment['OMP_WAIT_POLICY'] is None
        self.name, self.spins = name, call.environment['GOMP_SPINCOUNT']

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def call(self):
        self.log.append((self.name, FakeNeighbour.at_work))
        return self.beside[self.spins] if FakeNeighbour.at_work else 1.


def test_turns_and_ratios_by_hand(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(harness, 'Worker', FakeWorker)
    monkeypatch.setattr(beside, 'Neighbour', FakeNeighbour)
    monkeypatch.setattr(beside, 'SETTLE', 0)
    assert main(['bench', 'beside', '--config', 'glip-mini', '--rounds', '2', '--out',
                 str(tmp_path)]) == 0
    turns = [(name, state) for name in beside.WAITS for state in (False, True)]
    assert FakeWorker.log == [(name, False) for name in beside.WAITS] + turns + turns[::-1]
    content = json.loads((tmp_path / 'beside.json').read_text())
    assert [row['beside / alone'] for row in content['rows']] == [1.75, 1.5, 4., 2.]
    assert [row['alone / glipkit'] for row in content['rows']] == [1.] * len(beside.WAITS)
    assert content['setting']['image'] == '512x640' and content['setting']['batch'] == 2
    capsys.readouterr()


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('kind', ['spin', pytest.param('torch', marks=pytest.mark.slow)])
def test_a_neighbour_works_when_it_is_told_to(kind):

    def state():
        return Path(f'/proc/{neighbour._process.pid}/stat').read_text().rsplit(')', 1)[1].split()

    def soon(wanted):
        end = time.monotonic() + 10
        while not wanted() and time.monotonic() < end:
            time.sleep(.005)
        return wanted()

    assert kind in KINDS
    with Neighbour(kind, 1) as neighbour:
        assert soon(lambda: state()[0] == 'T')  # stopped
        for _ in range(2):
            before = int(state()[11])  # ticks of work
            with neighbour.busy():
                assert soon(lambda before=before: int(state()[11]) > before)
            assert soon(lambda: state()[0] == 'T')
    assert neighbour._process.returncode is not None


@pytest.mark.parametrize('words, said', [
    (['--neighbour', 'loud'], 'invalid choice'), (['--rounds', '0'], 'at least 1 round'),
    (['--batch', '0'], '--batch'), (['--image', '1x1'], 'multiples of 32'),
    (['--config', 'glip-x'], 'a model name')])
def test_wrong_usage_is_one_line(words, said, capsys):
    try:
        code = main(['bench', 'beside', *words])
    except SystemExit as stop:
        code = stop.code
    ran = capsys.readouterr()
    assert code == 2 and ran.out == ''
    assert ran.err.count('\n') == 1 and said in ran.err
