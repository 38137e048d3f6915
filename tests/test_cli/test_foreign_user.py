"""Every command for a user to whom nothing belongs: no home, no name, nothing that can be written
but the place of the results."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from glipkit.cli.main import COMMANDS
from tests.test_cli.test_places import ENDINGS, READING, REPOSITORY, commands  # noqa: F401

pytestmark = [pytest.mark.skipif(sys.platform != 'linux', reason='needs fork and user ids'),
              pytest.mark.slow]

#: Runs command lines, each in a process of its own that shares few imports, as another user where
#: that is possible, and prints what came.
WORKER = '''
import json, os, sys, traceback
import glipkit, torch, mmengine.config

def run(words, user):
    (out, out_into), (err, err_into) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(err_into, 2)
        code = 1
        try:
            if user is not None:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            from glipkit.cli.main import main
            code = main(words)
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
    os.close(out_into)
    os.close(err_into)
    with open(err, 'rb') as stream:
        said = stream.read().decode(errors='replace')
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said

commands, user = json.loads(sys.argv[1])
print('RESULTS', json.dumps({name: run(words, user) for name, words in commands.items()}))
'''
#: An id that no user has.
USER = 12345
#: What makes the work short, and a place that the user may write to.
MORE = {'tune': ('--set', 'schedule.max_epochs=1'), 'test': ('--work-dir', 'work')}
#: What these commands say of every user's work.
SAID = r'(training: \d+ of .*\n)*|1 pairs gave nothing .*\n'


def others_may_read(*places: str) -> bool:
    """Whether a user without rights of its own reaches these places."""
    return all(folder.stat().st_mode & 0o005 == 0o005
               for place in places for folder in (Path(place).resolve(), *Path(place).parents))


@pytest.fixture(scope='module')
def ran(commands, tmp_path_factory):  # noqa: F811
    """Command -> (exit code, standard error)."""
    folder = tmp_path_factory.mktemp('results')
    folder.chmod(0o777)  # pytest keeps its folders to itself
    for place in (*folder.parents[:2], *folder.parent.iterdir()):
        if place.is_dir() and place.stat().st_uid == os.getuid():
            place.chmod(place.stat().st_mode | 0o055)
    reached = others_may_read(sys.prefix, sys.base_prefix, str(REPOSITORY), str(folder))
    user = USER if reached and os.getuid() == 0 else None
    lines = {name: [*words, str(folder / f'{name}{ENDINGS.get(name, "")}'),
                    *MORE.get(name, ())] for name, words in commands.items()}
    lines.update({name: [name] for name in READING})
    lines['serve'].append('--help')  # it would not end by itself
    environment = {'PATH': os.environ['PATH'], 'HOME': '/dev/null/home', 'OMP_NUM_THREADS': '1',
                   'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    workers = [subprocess.Popen(
        [sys.executable, '-c', WORKER, json.dumps([dict(part), user])], cwd=folder,
        env=environment, stdout=subprocess.PIPE, text=True)
        for part in (list(lines.items())[::2], list(lines.items())[1::2])]
    said = [worker.communicate(timeout=600)[0].split('RESULTS ') for worker in workers]
    return {**json.loads(said[0][1]), **json.loads(said[1][1])}


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_ends_well_and_in_silence(ran, command):
    code, err = ran[command]
    assert code == 0 and re.fullmatch(SAID, err), err
