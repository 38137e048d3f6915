"""``glipkit serve`` as a process: who is let in, and how it ends."""
from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from glipkit.cli.main import main
from glipkit.serve import running
from glipkit.serve.running import address_of, bind, is_loopback
from glipkit.testing.tiny_glip import write_config
from tests.test_serve.conftest import encoded, shot

REPOSITORY = Path(__file__).parents[2]
MANY = ', '.join(f'thing {i}' for i in range(400))


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return str(write_config(tmp_path_factory.mktemp('config')))


@pytest.mark.parametrize('words, message', [
    (['--host', '0.0.0.0'], 'expected --token with --host 0.0.0.0, since every machine'),
    (['--host', 'example.com'], 'expected --token with --host example.com'),
    (['--token', 'a', '--no-token'], '--token or --no-token; got both'),
    (['--token', ''], 'a secret word; got an empty one'),
    (['--queue', '0'], 'a limit places above 0'),
    (['--timeout', 'nan'], 'a limit timeout above 0'),
    (['--learn-seconds', '-1'], 'a limit seconds above 0'),
    (['--learn-queue', '0'], 'a limit places above 0'),
    (['--port', '99999'], 'with a free port'),
    (['--host', '192.0.2.1', '--token', 'a'], 'an address of this machine'),
    (['--task', 'none.safetensors'], 'no file at none.safetensors'),
    (['--task', 'http://a/b.safetensors'], 'http://a/b.safetensors'),
    (['--tasks', '/nowhere'], 'a folder with task files'),
    (['--label-studio-url', '127.0.0.1'], 'the address of Label Studio'),
    (['--label-studio-url', 'http://127.0.0.1'], 'an API key for Label Studio'),
    (['--threshold', '2'], 'between 0 and 1'), (['--device', 'abacus'], 'a device'),
])
def test_wrong_arguments_are_one_line(config, capsys, monkeypatch, words, message):
    monkeypatch.delenv('GLIPKIT_TOKEN', raising=False)
    monkeypatch.delenv('LABEL_STUDIO_API_KEY', raising=False)
    assert main(['serve', config, '--checkpoint', 'random', '--no-page', '--port', '0',
                 *words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_a_taken_port_is_told_before_the_model_is_built(capsys):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(['serve', 'glip-t', '--no-page', '--port', port]) == 2
    assert 'another --host or --port' in capsys.readouterr().err


def test_missing_packages_are_named(config, capsys, monkeypatch):
    find = running.find_spec
    monkeypatch.setattr(running, 'find_spec',
                        lambda name: None if name in ('gradio', 'uvicorn') else find(name))
    assert main(['serve', config, '--checkpoint', 'random']) == 2
    error = capsys.readouterr().err
    assert "no uvicorn, gradio; pip install 'glipkit[serve]'" in error


def test_addresses():
    assert is_loopback('127.0.0.1') and is_loopback('localhost') and is_loopback('::1')
    assert not any(map(is_loopback, ('0.0.0.0', '::', '10.0.0.1', 'example.com')))
    with bind('0.0.0.0', 0) as listening:
        assert re.fullmatch(r'http://127\.0\.0\.1:\d+', address_of(listening))


class Server:
    """A served tiny model.

    Args:
        config: Of the model.
        *words: More arguments.
    """

    def __init__(self, config, *words):
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'glipkit.cli.main', 'serve', config, '--checkpoint', 'random',
             '--no-page', '--threshold', '0', *words],
            env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1',
                 'GLIPKIT_TOKEN': 'secret'}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True)
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith('requests must show the token'):
                break
        self.address = re.search(r'http://127\.0\.0\.1:\d+', ''.join(said))[0]

    def predict(self, classes='dog, cat', token='secret', image=None):
        return httpx.post(f'{self.address}/predict', timeout=60, auth=('me', token),
                          files={'image': encoded(shot()) if image is None else image},
                          data={'classes': classes})

    def wait_for_work(self):
        """Until the model runs."""
        begin = time.process_time(), self._cpu()
        while self._cpu() - begin[1] < .1:
            time.sleep(.02)

    def _cpu(self):
        fields = Path(f'/proc/{self.process.pid}/stat').read_text().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_killed_in_mid_request_restarted_and_stopped(config):
    server = Server(config, '--port', '0', '--queue', '2', '--max-bytes', '200000')
    port = server.address.rsplit(':', 1)[1]
    with ThreadPoolExecutor(1) as pool:
        running_request = pool.submit(server.predict, MANY)
        server.wait_for_work()
        server.process.kill()
        with pytest.raises(httpx.HTTPError):
            running_request.result(60)
    assert server.process.wait(20) == -signal.SIGKILL

    server = Server(config, '--port', port, '--queue', '2', '--max-bytes', '200000')
    assert server.predict().status_code == 200
    assert server.predict(token='other').status_code == 401
    assert server.predict(image=b'\0' * 200_001).status_code == 413

    def endless():
        for _ in range(10_000):
            yield b' ' * 10_000

    try:
        status = httpx.post(f'{server.address}/predict', content=endless(), auth=('me', 'secret'),
                            headers={'content-type': 'application/json'}).status_code
        assert status == 413
    except httpx.WriteError:
        pass  # the server has hung up before the answer was read
    with ThreadPoolExecutor(1) as pool:
        running_request = pool.submit(server.predict, MANY)
        server.wait_for_work()
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answer = running_request.result(60)
    assert answer.status_code == 200 and len(answer.json()['categories']) == 400
    said = server.process.stdout.read()
    assert server.process.wait(30) == 0 and said == 'stopped\n'
    assert time.monotonic() - begin < 30
