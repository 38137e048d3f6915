"""The report for bug reports, and where the configs are found."""
import argparse
import json
import subprocess
import sys

import pytest

import glipkit
from glipkit.apis import environment, paths
from glipkit.cli import env
from glipkit.errors import UserError


@pytest.fixture(scope='module')
def report():
    return environment.collect()


def test_report_has_what_a_bug_report_needs(report):
    assert report['glipkit']['version'] == glipkit.__version__
    assert report['system']['python'].startswith('.'.join(map(str, sys.version_info[:3])))
    for name in ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet'):
        assert report['foundations'][name][0].isdigit(), name
    assert report['foundations']['mmcv operators'].split()[0] in ('served', 'compiled')
    assert {'numpy', 'transformers', 'opencv'} <= set(report['libraries'])
    assert 'HF_HUB_OFFLINE' in report['settings']


def test_report_fits_one_screen(report):
    lines = environment.render(report).splitlines()
    assert len(lines) <= 45
    assert all(text in '\n'.join(lines) for section in report.values()
               for pair in section.items() for text in pair)
    columns = {len(line) - len(line[2:].split('  ', 1)[1].lstrip()) for line in lines
               if line.startswith('  ')}
    assert len(columns) == 1, 'values are aligned'


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(environment, 'LIBRARIES', ('no-such-library', ))
    monkeypatch.setitem(sys.modules, 'cv2', None)
    libraries = environment.collect()['libraries']
    assert libraries['no-such-library'] == 'not installed'
    assert libraries['opencv'].startswith('cannot be loaded (')


def test_operators_that_do_not_load_are_part_of_the_report(monkeypatch):
    def broken():
        raise ImportError('libtorch.so: not found')

    monkeypatch.setattr(environment, 'operator_source', broken)
    assert environment.collect()['foundations']['mmcv operators'] == (
        'ImportError: libtorch.so: not found')


def test_commit_is_that_of_our_own_checkout(monkeypatch, tmp_path):
    def git(*args):
        subprocess.run(['git', '-C', str(tmp_path), '-c', 'user.name=a', '-c', 'user.email=a@b',
                        *args], check=True, capture_output=True)

    monkeypatch.setattr(environment, 'PACKAGE', tmp_path / 'glipkit')
    (tmp_path / 'glipkit').mkdir()
    try:
        git('init')
    except FileNotFoundError:
        pytest.skip('no git here')
    (tmp_path / 'glipkit' / 'a.py').write_text('a = 1\n')
    git('add', '.')
    git('commit', '-m', 'a')
    commit = environment.collect()['glipkit']['commit']
    assert len(commit) >= 10 and 'changes' not in commit
    (tmp_path / 'glipkit' / 'a.py').write_text('a = 2\n')
    assert environment.collect()['glipkit']['commit'] == f'{commit} with local changes'
    # Inside somebody else's repository, as an environment within a project is.
    monkeypatch.setattr(environment, 'PACKAGE', tmp_path / 'env' / 'glipkit')
    (tmp_path / 'env' / 'glipkit').mkdir(parents=True)
    assert environment.collect()['glipkit']['commit'] == 'not a checkout'


@pytest.mark.parametrize('options', [[], ['--json']])
def test_command(options, capsys):
    parser = argparse.ArgumentParser()
    env.add_parser(parser.add_subparsers())
    args = parser.parse_args(['env', *options])
    assert args.run(args) == 0
    printed = capsys.readouterr().out
    assert glipkit.__version__ in printed
    if options:
        assert json.loads(printed)['glipkit']['version'] == glipkit.__version__


def test_configs_are_found():
    assert (paths.config_root() / '_base_').is_dir()


def test_configs_inside_the_package_come_first(tmp_path):
    package = tmp_path / 'glipkit'
    with pytest.raises(UserError, match='neither folder'):
        paths.config_root(package)
    (tmp_path / 'configs').mkdir()  # of another package
    with pytest.raises(UserError, match='neither folder'):
        paths.config_root(package)
    (tmp_path / 'configs' / 'index.yaml').touch()
    assert paths.config_root(package) == tmp_path / 'configs'
    (package / 'configs').mkdir(parents=True)
    (package / 'configs' / 'index.yaml').touch()
    assert paths.config_root(package) == package / 'configs'


def test_pytorch_that_is_kept_away_at_the_import_itself():
    code = '''
import builtins
found = builtins.__import__
def refuse(name, *args, **fields):
    if name.partition('.')[0] in ('torch', 'mmengine', 'mmdet', 'mmcv'):
        raise ImportError(f'no {name} here')
    return found(name, *args, **fields)
builtins.__import__ = refuse
import glipkit, glipkit.runtime.model
glipkit.Predictor
'''
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1].startswith('ImportError: glipkit.Predictor needs PyTorch, '
                                                   'which cannot be imported (no mmengine here)')
