"""Files of the hub: what breaks goes on, what is wrong is not kept, silence ends soon."""
from __future__ import annotations

import hashlib
import io
import socket
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from glipkit.checkpoints import download as module
from glipkit.checkpoints.download import FetchError, ask, download
from glipkit.common import reporter
from glipkit.common.reporter import Bar, ConsoleReporter, reporting
from glipkit.errors import UserError
from tests.hub_server import COMMIT, serving

NAME = 'owner/models:weights/model.pth'
CONTENT = np.random.default_rng(0).bytes(50_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def hub(monkeypatch):
    """A hub of one file, which may be asked; the library waits for nothing and reads in pieces."""
    import huggingface_hub.constants
    import huggingface_hub.file_download
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr(huggingface_hub.constants, 'DOWNLOAD_CHUNK_SIZE', 1000)
    monkeypatch.setattr(huggingface_hub.file_download.time, 'sleep', lambda _: None)
    monkeypatch.delenv('HF_HUB_OFFLINE')
    with serving({NAME: CONTENT}) as served:
        monkeypatch.setenv('HF_ENDPOINT', served.url)
        yield served


def question():
    return ask('owner/models', 'weights/model.pth')


def fetch(part, offer=None):
    return download(offer or question(), part, Bar)


def failure(part, kind):
    with pytest.raises(FetchError) as caught:
        fetch(part)
    assert caught.value.kind == kind and '\n' not in caught.value.reason
    return caught.value.reason


def test_the_hub_says_size_digest_and_version(hub):
    offer = question()
    assert (offer.size, offer.sha256, offer.commit) == (len(CONTENT), DIGEST, COMMIT)


def test_a_file_comes_whole(hub, tmp_path):
    assert fetch(tmp_path / 'a') == DIGEST
    assert (tmp_path / 'a').read_bytes() == CONTENT


@pytest.mark.parametrize('cut', np.random.default_rng(1).integers(1, len(CONTENT), 4).tolist())
def test_a_transfer_that_is_cut_goes_on_by_itself(hub, tmp_path, cut):
    hub.cuts = [cut]
    assert fetch(tmp_path / 'a') == DIGEST
    assert (tmp_path / 'a').read_bytes() == CONTENT
    assert hub.transfers == [0, cut // 1000 * 1000]


def test_a_transfer_that_stays_cut_goes_on_when_it_is_repeated(hub, tmp_path):
    cut = int(np.random.default_rng(2).integers(1000, len(CONTENT)))
    hub.cuts = [cut, *[0] * 50]
    kept = cut // 1000 * 1000
    assert f'after {kept} of 50000 bytes' in failure(tmp_path / 'a', 'broken')
    hub.cuts.clear()
    assert (tmp_path / 'a').read_bytes() == CONTENT[:kept]
    hub.asked.clear()
    assert fetch(tmp_path / 'a') == DIGEST
    assert (tmp_path / 'a').read_bytes() == CONTENT
    assert hub.transfers == [kept]


def test_a_server_that_cannot_go_on_gives_the_file_anew(hub, tmp_path):
    (tmp_path / 'a').write_bytes(CONTENT[:3000])
    hub.ranges = False
    assert fetch(tmp_path / 'a') == DIGEST
    assert (tmp_path / 'a').read_bytes() == CONTENT


def test_a_beginning_that_the_server_refuses_is_fetched_anew(hub, tmp_path):
    offer = question()
    (tmp_path / 'a').write_bytes(CONTENT + b'more')
    assert download(replace(offer, size=None), tmp_path / 'a', Bar) == DIGEST  # it said 416
    assert hub.transfers == [len(CONTENT) + 4, 0]


def test_a_file_that_is_whole_is_not_fetched_again(hub, tmp_path):
    (tmp_path / 'a').write_bytes(CONTENT)
    assert fetch(tmp_path / 'a') == DIGEST
    assert hub.transfers == []


def test_more_bytes_than_promised_are_fetched_anew(hub, tmp_path):
    (tmp_path / 'a').write_bytes(CONTENT + b'x')
    assert fetch(tmp_path / 'a') == DIGEST
    assert (tmp_path / 'a').read_bytes() == CONTENT


def test_another_digest_than_promised_is_not_kept(hub, tmp_path):
    hub.digests[NAME] = 'b' * 64
    assert 'sha256 is ' + DIGEST[:12] in failure(tmp_path / 'a', 'wrong')
    assert not (tmp_path / 'a').exists()


def test_a_beginning_of_another_file_is_noticed(hub, tmp_path):
    (tmp_path / 'a').write_bytes(bytes(2000))
    failure(tmp_path / 'a', 'wrong')
    assert not (tmp_path / 'a').exists()


@pytest.mark.parametrize('size', [len(CONTENT) - 1, len(CONTENT) + 1, 10])
def test_another_size_than_promised_is_not_kept(hub, tmp_path, size):
    hub.sizes[NAME] = size
    assert f'{size} bytes' in failure(tmp_path / 'a', 'wrong')
    assert not (tmp_path / 'a').exists()


def test_without_a_digest_of_the_hub_the_size_is_checked(hub, tmp_path):
    hub.digests[NAME] = ''
    assert question().sha256 == ''
    assert fetch(tmp_path / 'a') == DIGEST


def test_a_full_disk_is_one_line_that_says_what_stays(hub, tmp_path):
    resource = pytest.importorskip('resource')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with pytest.raises(UserError, match='room for the download') as caught:
            fetch(tmp_path / 'a')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    part = tmp_path / 'a'
    left = part.stat().st_size
    assert left <= 20_000 and f'{left} bytes that came stay in {part}' in str(caught.value)
    assert fetch(part) == DIGEST


def test_a_file_that_is_not_there_is_refused(hub):
    with pytest.raises(FetchError, match='404') as caught:
        ask('owner/models', 'none.pth')
    assert caught.value.kind == 'refused'


def test_what_is_no_hub_is_refused(hub, monkeypatch):
    monkeypatch.setattr('tests.hub_server._Handler._answer', lambda self: self._send(200, {}))
    with pytest.raises(FetchError, match='is not the hub') as caught:
        question()
    assert caught.value.kind == 'refused'


def test_nobody_there(hub, monkeypatch):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{free.getsockname()[1]}')
    with pytest.raises(FetchError) as caught:
        question()
    assert caught.value.kind == 'no network'


def test_silence_ends_soon(hub, monkeypatch):
    """A server that takes a question and never answers, and a library that asks again."""
    monkeypatch.setattr(module, 'ANSWER_WITHIN', 0.2)
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{silent.getsockname()[1]}')
        start = time.monotonic()
        with pytest.raises(FetchError) as caught:
            question()
    assert caught.value.kind == 'no network' and time.monotonic() - start < 2


@pytest.mark.parametrize('value', ['1', 'true'])
def test_the_setting_that_forbids_the_network_is_heard(hub, monkeypatch, value):
    monkeypatch.setenv('HF_HUB_OFFLINE', value)
    with pytest.raises(FetchError, match='HF_HUB_OFFLINE') as caught:
        question()
    assert caught.value.kind == 'no network' and not hub.asked


def test_progress_goes_through_our_reporter_and_a_pipe_gets_lines(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(reporter, 'LINE_INTERVAL', 0)
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    with reporting(ConsoleReporter()):
        download(question(), tmp_path / 'a',
                 lambda done: reporter.bar('fetching', len(CONTENT), 'B', done, scale=True))
    text = sys.stderr.getvalue()
    assert text.endswith('fetching: 50.0k of 50.0k B\n') and '\r' not in text
