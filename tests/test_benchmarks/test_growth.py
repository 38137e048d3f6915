"""Exponents of power laws by hand, and growing workloads of tiny models."""
from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glipkit.benchmarks import growth, growth_sets
from glipkit.benchmarks.exponents import fit
from glipkit.benchmarks.harness import Measured, alternate
from glipkit.benchmarks.worker import make
from glipkit.cli.main import main
from glipkit.testing.tiny_glip import write_config

FLAT = ('--rounds', '1', '--warmup', '0', '--threads', '1')


@given(st.floats(-3, 3), st.floats(.01, 100), st.lists(
    st.integers(1, 10**6), min_size=2, max_size=9, unique=True).map(sorted))
def test_a_power_law_is_found_again(exponent, factor, x):
    law = fit(x, [factor * size**exponent for size in x])
    assert law.exponent == pytest.approx(exponent, abs=1e-5)
    assert law(x) == pytest.approx([factor * size**exponent for size in x], rel=1e-4)
    assert law.residual == pytest.approx(0, abs=1e-6)
    assert law.last == pytest.approx(exponent, abs=1e-5)


def test_points_off_the_line_by_hand():
    # Logarithms 0, 1, 0 at -1, 0, 1: the line is 1/3, off by -1/3, 2/3, -1/3.
    law = fit(np.exp([-1, 0, 1]), np.exp([0, 1, 0]))
    assert law.exponent == pytest.approx(0)
    assert law.factor == pytest.approx(np.exp(1 / 3))
    assert law.residual == pytest.approx(np.exp(np.sqrt((1 + 4 + 1) / 9 / 3)) - 1)
    assert law.last == pytest.approx(-1)


@pytest.mark.parametrize('x, y', [([], []), ([1], [1]), ([1, 2], [0, 1]), ([1, 2], [1, -1])])
def test_no_power_law(x, y):
    assert fit(x, y) is None


@pytest.fixture
def in_one_process(monkeypatch):
    """Lets jobs run in this process, with as many bytes of memory as the call is number."""
    calls = []

    def alternate_here(jobs, rounds, warmup):
        calls.extend(jobs.values())
        made = {name: make(job.target, job.arguments) for name, job in jobs.items()}
        return {name: Measured(timing, 2**30 + len(calls) * 2**20, 2**30)
                for name, timing in alternate(made, rounds, warmup).items()}

    monkeypatch.setattr(growth, 'alternate_processes', alternate_here)
    threads = torch.get_num_threads()
    yield calls
    torch.set_num_threads(threads)


@pytest.mark.parametrize('over, at, sizes, calls', [
    ('image', ('32x64', '64x64'), [2048, 4096], [(32, 64), (32, 64), (64, 64), (64, 64)]),
    ('classes', ('1', '5'), [1, 5], [1, 5]), ('batch', ('1', '2'), [1, 2], [1, 1, 2, 2])])
def test_what_grows(in_one_process, tmp_path, monkeypatch, capsys, over, at, sizes, calls):
    monkeypatch.setattr(growth, 'IMAGE', (32, 32))
    config = str(write_config(tmp_path))
    words = ['bench', 'growth', '--over', over, '--at', *at, '--config', config, *FLAT]
    assert main([*words, '--out', str(tmp_path / 'out')]) == 0
    works = [call.arguments['workload'] for call in in_one_process]
    taken = {'image': lambda work: tuple(work['image']), 'batch': lambda work: work['batch'],
             'classes': lambda work: len(work['classes'])}[over]
    assert [taken(work) for work in works] == calls
    content = json.loads((tmp_path / 'out/growth.json').read_text())
    assert [list(curve['x']) for curve in content['curves'].values()] \
        == [sizes] * len(growth.AXES[over].curves)
    first, second = content['rows'][:2]
    curve = next(iter(content['curves'].values()))
    slope = math.log(curve['seconds'][1] / curve['seconds'][0]) / math.log(sizes[1] / sizes[0])
    assert first['slope'] == '' and float(second['slope']) == pytest.approx(slope, abs=.006)
    assert all(name in content['notes'][i] for i, name in enumerate(content['curves']))
    picture = tmp_path / 'out/growth.svg'
    drawn = picture.read_bytes()
    growth.draw(content, tmp_path / 'out', 'growth')
    assert picture.read_bytes() == drawn and b'points off by' in drawn
    capsys.readouterr()


def test_a_set_is_the_same_in_both_formats(tmp_path):
    folder = growth_sets.write_set(tmp_path, 20)
    assert growth_sets.write_set(tmp_path, 20) == folder
    sets = [growth_sets.DATASETS.build(growth_sets.json_config(str(folder))),
            growth_sets.DATASETS.build(growth_sets.lines_config(str(folder)))]
    assert [len(one) for one in sets] == [20, 20]
    for i in (0, 19):
        one, other = (dataset.get_data_info(i) for dataset in sets)
        assert one['img_path'] == other['img_path']
        assert len(one['instances']) == growth_sets.BOXES
        for a, b in zip(one['instances'], other['instances']):
            assert a['bbox'] == pytest.approx(b['bbox'], abs=.11)
            assert a['bbox_label'] == b['bbox_label']
        assert one['text'] == other['text']


@pytest.mark.slow
def test_jobs_of_a_set_can_be_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(growth_sets, 'STEPS', 1)
    folder = growth_sets.write_set(tmp_path, 20)
    before = sorted(folder.iterdir())
    for name in growth_sets.JOBS.values():
        job = make(f'glipkit.benchmarks.growth_sets:{name}',
                   dict(folder=str(folder), threads=torch.get_num_threads(), seed=0))
        for _ in range(1 if name == 'training' else 2):
            job()
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize('words, said', [
    (['--over', 'weight'], 'invalid choice'), (['--at', '64x64'], 'two or more sizes'),
    (['--at', '64x64', '32x64'], 'larger than'), (['--at', '64x65', '96x96'], 'multiples of 32'),
    (['--over', 'batch', '--at', '0', '1'], 'from 1'),
    (['--over', 'classes', '--at', '1', '1204'], 'at most 1203'),
    (['--rounds', '0'], 'at least 1 round'), (['--threads', '0'], '--threads'),
    (['--config', 'glip-x'], 'a model name')])
def test_wrong_usage_is_one_line(words, said, capsys):
    try:
        code = main(['bench', 'growth', *words])
    except SystemExit as stop:
        code = stop.code
    ran = capsys.readouterr()
    assert code == 2 and ran.out == ''
    assert ran.err.count('\n') == 1 and said in ran.err
