"""Scripts in ``data_prep/`` and ``tools/`` stand for commands."""
from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from glipkit.cli.prepare import SOURCES
from glipkit.cli.world import WORLDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOORS = {
    **{f'data_prep/{name.replace("-", "_")}.py': f'prepare {name}' for name in SOURCES},
    **{f'data_prep/{name}.py': f'world {name}' for name in WORLDS},
    **{f'tools/{name}.py': name for name in ('train', 'test', 'demo')},
}


def test_every_script_has_its_command():
    found = {path.relative_to(ROOT).as_posix()
             for folder in ('data_prep', 'tools') for path in (ROOT / folder).glob('*.py')}
    assert found == {*DOORS, 'tools/export.py'}


@pytest.mark.parametrize('script', DOORS)
def test_help_is_that_of_the_command(script, capsys):
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / script))['main'](['--help'])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f'usage: glipkit {DOORS[script]} ')


def test_a_script_reads_the_arguments_of_its_process(tmp_path):
    call = [sys.executable, str(ROOT / 'data_prep/coco.py'), '--out', str(tmp_path / 'out')]
    done = subprocess.run([*call, '--train', 'none.json'], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ''
    assert done.stderr.startswith('glipkit prepare coco: error: expected ')
    assert 'none.json' in done.stderr and done.stderr.count('\n') == 1


def test_help_of_a_command_imports_no_source():
    code = ('import sys, glipkit.cli.main as m\n'
            'try: m.main(["prepare", *sys.argv[1:], "--help"])\n'
            'except SystemExit: pass\n'
            'room = "glipkit.data.preparation.sources."\n'
            'found = [n for n in sys.modules if n.startswith(room)]\n'
            'print(*found, file=sys.stderr)')
    for words, modules in ([], []), (['lvis'], ['glipkit.data.preparation.sources.lvis']):
        done = subprocess.run([sys.executable, '-c', code, *words], check=True, text=True,
                              capture_output=True)
        assert done.stderr.split() == modules
