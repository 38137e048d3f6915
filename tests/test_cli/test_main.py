"""The command line as a whole: help, commands, errors, exit codes."""
from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
import warnings

import pytest
from PIL import Image

from glipkit.cli import main as cli
from glipkit.cli.prepare import SOURCES
from glipkit.cli.world import WORLDS
from glipkit.common.reporter import note
from glipkit.errors import UserError


@pytest.mark.parametrize('words', [[], *[[name] for name in cli.COMMANDS],
                                   *[['prepare', name] for name in SOURCES],
                                   *[['world', name] for name in WORLDS]])
def test_every_level_has_help_with_examples(run, words):
    ran = run(*words, '--help')
    assert ran.code == 0
    assert 'examples:' in ran.out
    assert f'glipkit {" ".join(words)}'.strip() in ran.out.split('examples:')[1]


def test_the_table_of_commands_says_what_the_commands_say():
    for name, summary in cli.COMMANDS.items():
        subparsers = cli.Parser().add_subparsers()
        importlib.import_module(f'glipkit.cli.{name.replace("-", "_")}').add_parser(subparsers)
        assert {action.dest: action.help for action in subparsers._choices_actions} == \
            {name: summary}


def test_help_imports_no_command_and_no_model():
    code = ('import sys, glipkit.cli.main as m\n'
            'try: m.main(["--help"])\n'
            'except SystemExit: pass\n'
            'bad = [n for n in sys.modules if n.startswith(("glipkit.cli.", "mmdet.", '
            '"glipkit.models", "supervision", "torch.")) and n != "glipkit.cli.main"]\n'
            'sys.exit(str(bad) if bad else 0)')
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='asks Linux for the time of a process')
@pytest.mark.parametrize(('seconds', 'words'), [
    (0.5, ['--help']), (6, ['predict', 'a.png', '--classes', 'red circle'])])
def test_a_command_starts_soon(tmp_path, seconds, words):
    """The processor's time of a new process, the shortest of three: other work may run beside."""
    Image.new('RGB', (640, 480)).save(tmp_path / 'a.png')
    code = ('import os, sys\n'
            'child = os.posix_spawn(sys.executable, [sys.executable, "-m", "glipkit.cli.main", '
            '*sys.argv[1:]], os.environ)\n'
            '_, code, used = os.wait4(child, 0)\n'
            'print("used", code, used.ru_utime + used.ru_stime)')
    used = []
    for _ in range(3):
        done = subprocess.run([sys.executable, '-c', code, *words], cwd=tmp_path, check=True,
                              capture_output=True, text=True)
        ended, spent = done.stdout.splitlines()[-1].removeprefix('used ').split()
        assert ended == '0', done.stderr
        used.append(float(spent))
        if used[-1] <= seconds:
            return
    pytest.fail(f'{used} s')


@pytest.mark.parametrize('words', [[], ['fly'], ['convert'], ['convert', 'a', 'b', '--to', 'onnx'],
                                   ['predict', 'a.png'], ['--nothing'],
                                   ['predict', 'a.png', '--classes', 'a', '--caption', 'b'],
                                   ['predict', 'a.png', '--classes', 'a', '--threshold', 'x']])
def test_wrong_usage_is_one_line(refuse, words):
    assert '--help' in refuse(*words)


ADDRESS = 'https://example.org/a.json'


@pytest.mark.parametrize('words', [
    ['train', ADDRESS], ['test', 'glip-mini', ADDRESS], ['test', 'a', 'b', '--data', ADDRESS],
    ['tune', ADDRESS, '--images', '.', '--out', 'o'],
    ['tune', 'a', f'--images={ADDRESS}', '--out', 'o'],
    ['odinw', ADDRESS, '--out', 'o'], ['predict', ADDRESS, '--classes', 'a'],
    ['predict', 'a.png', '--task', ADDRESS], ['prepare', 'coco', '--train', ADDRESS, '--out', 'o'],
    ['world', 'stamps', '--stamps', ADDRESS, '--out', 'o'],
    ['demo', '--stamps', ADDRESS, '--iters', '1', '--out', 'o'],
    ['convert', ADDRESS, 'b.pth'], ['bench', 'page', '--out', 'o', '--page', ADDRESS],
    ['pseudo-label', 'a', ADDRESS, '--out', 'o'], ['browse', ADDRESS],
    ['check-data', 'a.json', '--images', ADDRESS],
])
def test_addresses_are_not_fetched(refuse, words):
    said = refuse(*words)
    assert f'got the address {ADDRESS}, which glipkit does not fetch' in said
    assert said.endswith(f'download it first, e.g. with curl -LO {ADDRESS}\n')


def test_what_is_no_address_of_a_file(run, tmp_path):
    """Words to look for, a cluster, and a file that has such a name."""
    for words in (['--classes', 'https://example.org'], ['--caption', ADDRESS]):
        assert 'no such file at a.png' in run('predict', 'a.png', *words).err
    assert 'fetch' not in run('pseudo-label', 'a.tar', '--out', 'o', '--address', 'ray://a:1').err
    (tmp_path / 'here/s3:/b').mkdir(parents=True)
    assert 'fetch' not in run('browse', 's3://b').err


def test_the_version(run):
    assert run('--version').out.startswith('glipkit ')


@pytest.mark.parametrize(('raised', 'code', 'printed'), [
    (UserError('a thing', 'two\nlines', 'do this'), 2,
     'glipkit env: error: expected a thing; got two lines; do this\n'),
    (KeyboardInterrupt(), 130, 'glipkit env: interrupted\n'),
    (OSError(errno.ENOSPC, 'No space left on device', '/a/b'), 2,
     'glipkit env: error: expected files that can be read and written; got /a/b (No space left on '
     'device); check the paths and the free space\n'),
    (OSError(errno.EIO, 'Input/output error'), 2,
     'glipkit env: error: expected files that can be read and written; got (Input/output error); '
     'check the paths and the free space\n'),
    # As torch hands on what happened in a worker process.
    (OSError('Caught OSError in DataLoader worker process 0.\nTraceback ...\n'
             'OSError: [Errno 28] No space left on device'), 2,
     'glipkit env: error: expected files and shared memory that can be written; got [Errno 28] No '
     'space left on device; check the paths and the free space\n'),
    (RuntimeError('unable to write to file </torch_12_3_0>: No space left on device (28)'), 2,
     'glipkit env: error: expected files and shared memory that can be written; got unable to '
     'write to file </torch_12_3_0>: No space left on device (28); check the paths and the free '
     'space\n'),
])
def test_errors_become_exit_codes(run, monkeypatch, raised, code, printed):
    def fail(args):
        raise raised

    monkeypatch.setattr('glipkit.cli.env.run', fail)
    assert run('env') == (code, '', printed)


@pytest.mark.parametrize(('command', 'flag'), [('train', '--cfg-options'),
                                               ('test', '--cfg-options'), ('tune', '--set'),
                                               ('odinw', '--set')])
@pytest.mark.parametrize('word', ['nonsense', '=1', 'a=[1,(2]'])
def test_options_that_are_no_key_and_value(refuse, command, flag, word):
    assert 'expected KEY=VALUE' in refuse(command, 'a', flag, 'b.c=1', word)


def test_a_full_disk_behind_the_error_of_a_library(run, monkeypatch):
    def fail(args):
        try:
            raise OSError(errno.ENOSPC, 'No space left on device')
        finally:
            raise UnboundLocalError('of the tidying')

    monkeypatch.setattr('glipkit.cli.env.run', fail)
    ran = run('env')
    assert ran.code == 2 and ran.err.count('\n') == 1 and 'No space left' in ran.err


def test_options_are_read_as_mmengine_reads_them():
    args = cli.build_parser('train').parse_args(
        ['train', 'x', '--cfg-options', 'a.b=1', 'c=[(1,2),x]', 'd=u=v', '--cfg-options', 'e=None'])
    assert args.cfg_options == {'a.b': 1, 'c': [(1, 2), 'x'], 'd': 'u=v', 'e': None}


def test_a_reader_that_leaves_early_ends_the_command_quietly():
    code = ('import sys, glipkit.cli.env as env, glipkit.cli.main as m\n'
            'env.run = lambda args: print("line\\n" * 100000) or 0\n'
            'sys.exit(m.main(["env"]))')
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b''
    assert process.returncode == 141


def test_names_that_the_terminal_cannot_show():
    code = ('import sys, glipkit.cli.env as env, glipkit.cli.main as m\n'
            'env.run = lambda args: print("\\u00e9") or 0\n'
            'sys.exit(m.main(["env"]))')
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, check=True,
                         env={**os.environ, 'PYTHONIOENCODING': 'ascii:strict'})
    assert ran.stdout.strip() == b'\\xe9'


def test_an_error_of_the_program_is_not_hidden(run, monkeypatch):
    def fail(args):
        raise ZeroDivisionError

    monkeypatch.setattr('glipkit.cli.env.run', fail)
    with pytest.raises(ZeroDivisionError):
        run('env')


@pytest.mark.parametrize(('rank', 'printed'), [(None, 'a note\n'), ('0', 'a note\n'), ('1', '')])
def test_one_process_of_many_reports(run, monkeypatch, rank, printed):
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)
    if rank is not None:
        monkeypatch.setenv('RANK', rank)
    monkeypatch.setattr('glipkit.cli.env.run', lambda args: note('a note') or 0)
    assert run('env') == (0, printed, '')


def test_outside_a_command_nothing_is_printed(capfd):
    note('a note')
    assert capfd.readouterr() == ('', '')


def test_an_interrupted_command_says_whether_it_resumes(run, monkeypatch):
    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setattr('glipkit.cli.demo.run', stop)
    assert run('demo') == (130, '', 'glipkit demo: interrupted; the same command resumes\n')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_output_that_cannot_be_written_is_one_line():
    with open('/dev/full', 'w') as full:
        ran = subprocess.run([sys.executable, '-m', 'glipkit.cli.main', 'env'], stdout=full,
                             stderr=subprocess.PIPE, text=True, timeout=120)
    assert ran.returncode == 2
    assert ran.stderr.count('\n') == 1 and 'No space left on device' in ran.stderr


def test_a_warning_of_ours_is_one_line():
    before = warnings.formatwarning
    text = 'RN50.pt: roi_head.bbox_pred stays as initialised'
    with cli.short_warnings():
        assert warnings.formatwarning(text, UserWarning, cli.__file__, 3) == \
            f'glipkit: warning: {text}\n'
        for category, file in ((UserWarning, 'torch/a.py'), (DeprecationWarning, cli.__file__)):
            assert f'{file}:3: {category.__name__}: {text}' in warnings.formatwarning(
                text, category, file, 3)
    assert warnings.formatwarning is before
