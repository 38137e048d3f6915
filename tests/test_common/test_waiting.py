"""Waits are short where others want the processors, long elsewhere, and nobody's choice is
overruled."""
import os
import platform
import subprocess
import sys

import pytest

from glipkit.common import waiting
from glipkit.common.waiting import CALM, FULL, Watch, wait_briefly, wait_briefly_in_a_crowd


@pytest.mark.parametrize('machine,processors,account,given,expected', [
    ('x86_64', 2, True, {}, {'GOMP_SPINCOUNT': '20000'}),
    ('AMD64', 16, True, {'A': 'b'}, {'A': 'b', 'GOMP_SPINCOUNT': '20000'}),
    ('x86_64', 17, True, {}, {'GOMP_SPINCOUNT': '1000'}),  # nobody shortens waits in a crowd there
    ('x86_64', 2, False, {}, {'GOMP_SPINCOUNT': '1000'}),
    ('x86_64', 2, True, {'GOMP_SPINCOUNT': '5'}, {'GOMP_SPINCOUNT': '5'}),
    ('x86_64', 2, True, {'OMP_WAIT_POLICY': 'active'}, {'OMP_WAIT_POLICY': 'active'}),
    ('aarch64', 2, True, {}, {})])
def test_where_nobody_has_chosen(monkeypatch, machine, processors, account, given, expected):
    monkeypatch.setattr(platform, 'machine', lambda: machine)
    monkeypatch.setattr(os, 'cpu_count', lambda: processors)
    monkeypatch.setattr(waiting, '_can_look', lambda: account)
    monkeypatch.delitem(sys.modules, 'torch', raising=False)
    wait_briefly(given)
    assert given == expected


def test_nothing_changes_once_torch_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', object())
    environment = {}
    wait_briefly(environment)
    assert environment == {}


@pytest.mark.skipif(platform.machine().lower() not in ('x86_64', 'amd64'), reason='left alone')
@pytest.mark.parametrize('command,sets', [('env', True), ('bench', False)])
def test_commands_set_it_before_torch(command, sets):
    expected = waiting.short_waits({}).get('GOMP_SPINCOUNT') if sets else None
    code = ('import os, sys; os.environ.pop("GOMP_SPINCOUNT", None); '
            'os.environ.pop("OMP_WAIT_POLICY", None); '
            'from glipkit.cli.main import main\n'
            'try: main(sys.argv[1:])\nexcept SystemExit: pass\n'
            'print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)')
    ran = subprocess.run([sys.executable, '-c', code, command, '--help'], capture_output=True,
                         text=True, timeout=60)
    assert ran.stdout.splitlines()[-1] == f'{expected} False', ran.stderr


class Recorder:
    """A switch that remembers."""

    def __init__(self):
        self.log = []

    def on(self):
        self.log.append('on')

    def off(self):
        self.log.append('off')


def test_waits_follow_the_crowd():
    # Seconds waited within each look of a tenth of a second, and what then is switched.
    looks = [(.00, ''), (.09, ''), (.00, ''), (.02, ''), (.02, ''), (.05, ''), (.05, 'on'),
             (.20, ''), (.02, ''), *[(.00, '')] * (CALM - 1), (.02, ''), *[(.00, '')] * (CALM - 1),
             (.00, 'off'), (.00, ''), *[(.05, '')] * (FULL - 1), (.05, 'on')]
    seconds, switch = 7., Recorder()
    watch = Watch(switch, lambda: seconds)
    for waited, expected in looks:
        seconds += waited
        before = len(switch.log)
        watch.look(.1)
        assert switch.log[before:] == [expected] * bool(expected)
        assert watch.crowded == (switch.log[-1:] == ['on'])


@pytest.mark.parametrize('choice', ['GOMP_SPINCOUNT', 'OMP_WAIT_POLICY'])
def test_nobody_watches_where_the_user_has_chosen(monkeypatch, choice):
    monkeypatch.setattr(waiting, '_watching', False)
    monkeypatch.setenv(choice, '1000')
    assert not wait_briefly_in_a_crowd()


#: What a process that begins with a command's variable does.
IN_A_COMMAND = '''
import torch
torch.set_num_threads(2)
from glipkit.common import waiting
print(waiting._openmp() is None or waiting._openmp().omp_get_num_procs() > waiting.MOST)
print(waiting.wait_briefly_in_a_crowd())
'''


@pytest.mark.skipif(sys.platform != 'linux' or not waiting._can_look(), reason="Linux's account")
@pytest.mark.slow
@pytest.mark.parametrize('spins,watched', [(waiting.SPINS, True), (waiting.SPINS + 1, False)])
def test_a_command_watches_beside_the_variable_that_it_sets(spins, watched):
    environment = {name: value for name, value in os.environ.items()
                   if name not in waiting.CHOICES}
    ran = subprocess.run([sys.executable, '-c', IN_A_COMMAND], capture_output=True, text=True,
                         timeout=120, env={**environment, 'OMP_NUM_THREADS': '2',
                                           'GOMP_SPINCOUNT': str(spins)})
    assert ran.returncode == 0, ran.stderr
    cannot, does = ran.stdout.split()
    assert does == str(watched and cannot == 'False')


#: Threads of the process, in the middle of short waits and after them; what torch computes there.
IN_A_PROGRAM = '''
import os, time, torch
torch.set_num_threads(2)
from glipkit.common import waiting
a = torch.arange(4e4).reshape(200, 200) / 1e4
expected = a @ a
openmp = waiting._openmp()
if openmp is None or openmp.omp_get_num_procs() > 64:
    print('none')
    raise SystemExit
count = lambda: len(os.listdir('/proc/self/task'))
def wait_for(number):
    end = time.monotonic() + 20
    while count() != number and time.monotonic() < end:
        time.sleep(.01)
    return count() == number
crowd, start = waiting.Crowd(openmp), count()
more = openmp.omp_get_num_procs() + 1
for _ in range(2):
    crowd.on()
    print(wait_for(start + more), torch.equal(a @ a, expected))
    crowd.off()
    print(wait_for(start), torch.equal(a @ a, expected))
print(waiting.wait_briefly_in_a_crowd(), waiting.wait_briefly_in_a_crowd())
import glipkit
child = os.fork()
if not child:
    os._exit(int(waiting._watching))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
'''


@pytest.mark.skipif(sys.platform != 'linux' or not waiting._can_look(), reason="Linux's account")
@pytest.mark.slow
def test_openmp_counts_more_threads_than_processors():
    environment = {name: value for name, value in os.environ.items()
                   if name not in waiting.CHOICES}
    ran = subprocess.run([sys.executable, '-c', IN_A_PROGRAM], capture_output=True, text=True,
                         timeout=120, env={**environment, 'OMP_NUM_THREADS': '2'})
    assert ran.returncode == 0, ran.stderr
    if ran.stdout.strip() != 'none':
        *switched, started, child = ran.stdout.splitlines()
        assert switched == ['True True'] * 4
        assert started == ('True True' if os.cpu_count() <= waiting.MOST else 'False False')
        assert child == '0'
