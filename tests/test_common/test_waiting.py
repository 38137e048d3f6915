"""Short waiting is the commands' default, and nobody's choice is overruled."""
import platform
import subprocess
import sys

import pytest

from glipkit.common.waiting import wait_briefly


@pytest.mark.parametrize('machine,given,expected', [
    ('x86_64', {}, {'GOMP_SPINCOUNT': '1000'}),
    ('AMD64', {'A': 'b'}, {'A': 'b', 'GOMP_SPINCOUNT': '1000'}),
    ('x86_64', {'GOMP_SPINCOUNT': '5'}, {'GOMP_SPINCOUNT': '5'}),
    ('x86_64', {'OMP_WAIT_POLICY': 'active'}, {'OMP_WAIT_POLICY': 'active'}),
    ('aarch64', {}, {})])
def test_where_nobody_has_chosen(monkeypatch, machine, given, expected):
    monkeypatch.setattr(platform, 'machine', lambda: machine)
    monkeypatch.delitem(sys.modules, 'torch', raising=False)
    wait_briefly(given)
    assert given == expected


def test_nothing_changes_once_torch_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', object())
    environment = {}
    wait_briefly(environment)
    assert environment == {}


@pytest.mark.skipif(platform.machine().lower() not in ('x86_64', 'amd64'), reason='left alone')
@pytest.mark.parametrize('command,expected', [('env', '1000'), ('bench', 'None')])
def test_commands_set_it_before_torch(command, expected):
    code = ('import os, sys; os.environ.pop("GOMP_SPINCOUNT", None); '
            'os.environ.pop("OMP_WAIT_POLICY", None); '
            'from glipkit.cli.main import main\n'
            'try: main(sys.argv[1:])\nexcept SystemExit: pass\n'
            'print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)')
    ran = subprocess.run([sys.executable, '-c', code, command, '--help'], capture_output=True,
                         text=True, timeout=60)
    assert ran.stdout.splitlines()[-1] == f'{expected} False', ran.stderr
