"""A wheel carries everything that the package reads at run time, and nothing else."""
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = 'import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))'


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Names of the files in a wheel built from a copy of this checkout."""
    pytest.importorskip('setuptools', minversion='77')
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    ignore = shutil.ignore_patterns('__pycache__', '.venv')
    for name in ('glipkit', 'configs', 'tests', 'tools'):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    done = subprocess.run([sys.executable, '-c', BUILD, str(out)], cwd=source,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    with zipfile.ZipFile(next(out.glob('*.whl'))) as archive:
        return set(archive.namelist())


def files(folder):
    return {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob('*')
            if p.is_file() and '__pycache__' not in p.parts}


def test_everything_in_the_package_is_shipped(wheel):
    expected = files('glipkit')
    vocabularies = 'glipkit/text/tokenizers/vocabularies'
    assert {f'{vocabularies}/bert-base-uncased.txt',
            f'{vocabularies}/bpe_simple_vocab_16e6.txt.gz'} <= expected
    assert expected <= wheel


def test_configs_are_shipped_inside_the_package(wheel):
    expected = {f'glipkit/{name}' for name in files('configs')}
    assert any(name.startswith('glipkit/configs/glip/') for name in expected)
    assert expected <= wheel


def test_nothing_else_is_shipped(wheel):
    assert {name.split('/')[0] for name in wheel if '.dist-info/' not in name} == {'glipkit'}
    assert not [name for name in wheel if '__pycache__' in name]
