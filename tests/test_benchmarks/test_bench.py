"""``glipkit bench`` on a tiny model: whole runs, and command lines that cannot be run."""
from __future__ import annotations

import json
import re

import pytest
import torch

from glipkit.benchmarks import models
from glipkit.benchmarks.harness import Measured, alternate
from glipkit.benchmarks.peers import PEERS
from glipkit.benchmarks.worker import make
from glipkit.cli import bench
from glipkit.cli.main import build_parser, main
from glipkit.common import precision
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import write_config

SMALL = ('--image', '64x96', '--threads', '1', '--rounds', '2', '--warmup', '0')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return str(write_config(tmp_path_factory.mktemp('model')))


@pytest.fixture
def in_one_process(monkeypatch):
    """Lets jobs run in this process: whole models are fast, starting processes is not."""

    def alternate_here(jobs, rounds, warmup):
        made = {name: make(job.target, job.arguments) for name, job in jobs.items()}
        return {name: Measured(timing, 2**30, 2**29, made[name].details)
                for name, timing in alternate(made, rounds, warmup).items()}

    monkeypatch.setattr(models, 'alternate_processes', alternate_here)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_predict_in_processes(config, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['bench', 'predict', '--config', config, *SMALL, '--classes', 'cat, dog',
                 '--out', str(out)]) == 0
    content = json.loads((out / 'predict.json').read_text())
    row, = content['rows']
    assert row['candidate'] == 'glipkit'
    assert 0 < row['% of limit'] < 100
    assert 0 < row['before GiB'] <= row['peak GiB']
    assert content['setting']['classes'] == 2
    assert len(content['measured']['glipkit']['seconds']) == 2
    assert str(tmp_path / 'out') not in content['command']
    assert capsys.readouterr().out == (out / 'predict.md').read_text()


@pytest.mark.slow
@pytest.mark.parametrize('words', [['predict', '--prompt', 'three', '--dtype', 'bf16'],
                                   ['train-step', '--batch', '2'],
                                   ['train-step', '--dtype', 'bf16']])
def test_other_settings(in_one_process, config, capsys, words):
    assert main(['bench', *words, '--config', config, *SMALL]) == 0
    out = capsys.readouterr().out
    assert f'# {words[0]}: {config}' in out and '| glipkit |' in out


@pytest.mark.slow
@pytest.mark.parametrize('option', ['--dtype', '--peer-dtype'])
def test_slow_bfloat16_is_noted(in_one_process, config, capsys, monkeypatch, option):
    monkeypatch.setattr(precision, '_slowdown', lambda: 25.)
    words = ['predict', '--prompt', 'three', '--config', config, *SMALL, '--no-count']
    assert main(['bench', *words, option, 'bf16']) == 0
    ran = capsys.readouterr()
    line = f'25.0 times as long as in float32. For speed leave {option} bf16 out.'
    assert line in ran.out and line in ran.err
    assert main(['bench', *words]) == 0
    assert 'times as long' not in capsys.readouterr().out


def test_a_training_step_trains_and_counts_its_backward_pass(in_one_process, config):
    from glipkit.benchmarks import tasks
    from glipkit.benchmarks.workload import Workload
    work = Workload(config, (64, 96), batch=2)
    task = tasks.train_step('own', work.as_dict())
    forward = tasks.predict('own', Workload(config, (64, 96), ('a cat',), 2).as_dict())
    assert task.details['flops'] > 2 * forward.details['flops']
    parameters = dict(task.candidate.model.named_parameters())
    before = {name: value.detach().clone() for name, value in parameters.items()}
    task()
    moved = {name.split('.')[0] for name, value in parameters.items()
             if not torch.equal(value, before[name])}
    assert moved == {'backbone', 'neck', 'text_encoder', 'bbox_head'}


@pytest.mark.slow
def test_a_training_step_that_saves_memory(in_one_process, config):
    """glip-mini clips the norm of all gradients, so that they are kept: 4 + 4 + 2 bytes a weight,
    and the scales of blocks; small tensors have moments of 8 bytes."""
    from glipkit.benchmarks import tasks
    from glipkit.benchmarks.workload import Workload
    task = tasks.train_step('own', Workload('glip-mini', (64, 96), count=False).as_dict(), True)
    task()
    share = task.details['fixed_bytes'] / task.details['parameters']
    assert 10 < share < 10.5 and 'gradients are kept' in task.details['saved']
    with pytest.raises(UserError, match='without optim_wrapper'):
        tasks.train_step('own', Workload(config, (64, 96), count=False).as_dict(), True)


def test_help_of_every_benchmark(capsys):
    for name, (_, summary) in bench.BENCHMARKS.items():
        module = bench.load_benchmark(name)
        assert module.SUMMARY == summary
        with pytest.raises(SystemExit) as stop:
            main(['bench', name, '--help'])
        assert stop.value.code == 0
        examples = capsys.readouterr().out.split('examples:')[1]
        assert re.search(rf'glipkit bench (claims )?{name}\b', examples)


def test_the_suite_can_be_parsed_and_compares_with_every_peer():
    parser = build_parser('bench')
    peers = set()
    for words in bench.SUITE.values():
        args = parser.parse_args(['bench', *words.split()])
        assert args.run is bench.run
        peers.add(vars(args).get('peer'))
    assert peers >= set(PEERS)


def test_without_a_counted_call_there_is_no_count(in_one_process, config, capsys):
    words = ['predict', '--prompt', 'three', '--config', config, *SMALL, '--no-count']
    assert main(['bench', *words]) == 0
    out = capsys.readouterr().out
    assert '--no-count' in out and '| glipkit |' in out and 'GFLOP' not in out


def test_the_command_in_results_is_the_one_given():
    line = ['--config', 'glip-t-a', '--compile', '--rounds', '2', '--classes', 'a, b']
    args = build_parser('bench').parse_args(['bench', 'predict', *line, '--out', 'x',
                                             '--peer-env', 'y'])
    again = build_parser('bench').parse_args(['bench', 'predict', *bench.given(args)])
    assert sorted(bench.given(args)) == sorted(line)
    assert bench.given(again) == bench.given(args)


def test_the_whole_suite_keeps_its_results_and_resumes(monkeypatch, tmp_path, capsys):
    ran = []

    def measure(args):
        ran.append(args.benchmark)
        return {'benchmark': args.benchmark, 'command': 'x', 'date': 'today', 'machine': {},
                'rows': [{'a': len(ran)}]}

    monkeypatch.setattr(bench, 'measure', measure)
    monkeypatch.setattr(bench, 'SUITE', {'one': 'predict', 'two': 'train-step'})
    page = tmp_path / 'page.md'
    page.write_text('<!-- results: begin --><!-- results: end -->')
    words = ['bench', 'all', '--out', str(tmp_path / 'out'), '--page', str(page)]
    assert main(words) == 0
    assert ran == ['predict', 'train-step']
    assert '| 1 |' in page.read_text() and '| 2 |' in page.read_text()
    (tmp_path / 'out' / 'two.json').unlink()
    assert main([*words, '--resume']) == 0
    assert ran == ['predict', 'train-step', 'train-step']
    before = page.read_text()
    page.write_text('<!-- results: begin --><!-- results: end -->')
    assert main(['bench', 'page', '--out', str(tmp_path / 'out'), '--page', str(page)]) == 0
    assert page.read_text() == before
    capsys.readouterr()


@pytest.mark.parametrize(('words', 'said'), [
    (['predict', '--peer', 'yolo'], 'invalid choice'),
    (['predict', '--config', 'glip-x'], 'a model name'),
    (['predict', '--config', 'glip-mini', '--peer', 'mmdet'], 'glip-t-a'),
    (['predict', '--image', '800x1333'], 'multiples of 32'),
    (['predict', '--classes', 'dog, dog'], 'dog'),
    (['predict', '--rounds', '0'], 'at least 1 round'),
    (['predict', '--threads', '0'], '--threads'),
    (['predict', '--device', 'abacus'], 'abacus'),
    (['predict', '--graphs'], 'a GPU for --graphs'),
    (['launches', '--config', 'regionclip-mini'], 'expected a GLIP'),
    (['train-step', '--batch', '0'], '--batch'),
    (['train-step', '--rounds', '0', '--peer', 'mmdet', '--peer-env', 'new'], 'at least 1 round'),
    (['train-step', '--peer', 'mmdet', '--peer-env', __file__], 'peer environment'),
    (['train-step', '--config', 'glip-x', '--out', 'new'], 'a model name'),
    (['train-step', '--out', __file__], 'a folder for --out'),
    (['juggle'], 'invalid choice'),
    (['all', '--out', 'x', '--only', 'juggle'], 'invalid choice'),
    (['page', '--out', 'x', '--page', 'none.md'], 'marks'),
])
def test_wrong_usage_is_one_line(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(['bench', *words])
    except SystemExit as stop:
        code = stop.code
    ran = capsys.readouterr()
    assert code == 2 and ran.out == ''
    assert ran.err.count('\n') == 1 and said in ran.err
    assert not list(tmp_path.iterdir())
