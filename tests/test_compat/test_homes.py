"""Users without a home: libraries neither stop nor have anything to say."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import glipkit  # noqa: F401
from glipkit.compat import homes

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='places of Linux and macOS')

SCRIPT = '''
import os, sys
import glipkit
assert 'matplotlib' not in sys.modules
import matplotlib
import matplotlib.font_manager
print(matplotlib.get_configdir(), matplotlib.get_cachedir())
sys.stdout.flush()
if not os.fork():  # a worker, which must leave the folder to the others
    sys.exit()
assert not os.waitpid(-1, 0)[1] and os.path.isdir(matplotlib.get_configdir())
'''


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """An environment of its own, without settings of these folders."""
    names = (homes.VARIABLE, 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME')
    monkeypatch.setattr(os, 'environ', {name: value for name, value in os.environ.items()
                                        if name not in names})


@pytest.mark.slow
def test_two_silent_imports_without_a_home(tmp_path):
    """Neither words nor folders are left."""
    (tmp_path / 'file').touch()
    environment = {**os.environ, 'HOME': str(tmp_path / 'file' / 'home'), 'TMPDIR': str(tmp_path),
                   'PYTHONPATH': str(Path(glipkit.__file__).parents[1])}
    process = subprocess.run([sys.executable, '-c', SCRIPT], env=environment, timeout=120,
                             capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, '')
    settings, cache = process.stdout.split()
    assert settings == cache and Path(settings).parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_users_with_a_home_or_a_setting_keep_it(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert homes.give_folder() is None
    assert homes.VARIABLE not in os.environ and not list(tmp_path.iterdir())
    monkeypatch.setenv('HOME', '/dev/null/home')
    monkeypatch.setenv(homes.VARIABLE, str(tmp_path))
    assert homes.give_folder() is None


@pytest.mark.parametrize('name', ['XDG_CONFIG_HOME', 'XDG_CACHE_HOME'])
def test_one_folder_that_cannot_be_made_is_enough(monkeypatch, tmp_path, name):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv(name, '/dev/null/folder')
    if not sys.platform.startswith(('linux', 'freebsd')):
        return
    folder = homes.give_folder()
    assert folder.is_dir() and os.environ[homes.VARIABLE] == str(folder)
    homes._remove(folder, os.getpid() + 1)
    assert folder.is_dir()
    homes._remove(folder, os.getpid())
    assert not folder.exists()


def test_nothing_temporary_either(monkeypatch):
    """matplotlib then tells what it needs."""
    monkeypatch.setenv('HOME', '/dev/null/home')
    monkeypatch.setattr(homes.tempfile, 'mkdtemp', _refuse)
    assert homes.give_folder() is None


def test_a_user_whom_the_system_does_not_know(monkeypatch):
    monkeypatch.setenv('HOME', '/here')
    homes.name_home()
    assert os.environ['HOME'] == '/here'
    monkeypatch.setattr(homes.Path, 'home', _unknown)
    homes.name_home()
    assert os.environ['HOME'] == homes.NOWHERE and not os.path.exists(homes.NOWHERE)


def _refuse(**_):
    raise FileNotFoundError('no usable temporary directory')


def _unknown():
    raise RuntimeError('no home')
