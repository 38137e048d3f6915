"""A server on this machine that speaks enough of the Hugging Face hub to fetch files from it.

As there, a question for a file is answered by a redirection to another host, which gives the bytes.
"""
from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = '0123456789abcdef0123456789abcdef01234567'


@dataclass
class Hub:
    """What the server has, how it fails, and what it was asked.

    Args:
        files: ``owner/name:file`` -> content.
        cuts: Number of bytes after which each of the next transfers ends; None for none.
        sizes: File -> size that is promised, where it is not the true one.
        digests: File -> digest that is promised, where it is not the true one; empty for none.
        broken: The only file that is cut; empty for all.
        ranges: Whether a transfer may begin in the middle.
        asked: Method and file of every request for a file; ``GET`` with the first byte.
    """

    files: dict[str, bytes]
    cuts: list[int | None] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    url: str = ''
    ranges: bool = True
    broken: str = ''

    @property
    def transfers(self) -> list[int]:
        """First byte of each transfer that was asked for."""
        return [start for method, _, start in self.asked if method == 'GET']


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_HEAD(self) -> None:  # noqa: N802
        self._answer()

    def do_GET(self) -> None:  # noqa: N802
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        hub: Hub = self.server.hub
        if self.path.startswith('/bytes/'):
            return self._give(hub, self.path.removeprefix('/bytes/'))
        found = re.fullmatch(r'/([^/]+/[^/]+)/resolve/[^/]+/(.+)', self.path)
        name = f'{found[1]}:{found[2]}' if found else ''
        if self.command == 'HEAD':
            hub.asked.append(('HEAD', name, 0))
        if name not in hub.files:
            return self._send(404, {'X-Error-Code': 'EntryNotFound', 'X-Repo-Commit': COMMIT})
        content = hub.files[name]
        digest = hub.digests.get(name, hashlib.sha256(content).hexdigest()) or 'a' * 40
        port = self.server.server_address[1]
        return self._send(302, {
            'X-Repo-Commit': COMMIT, 'X-Linked-Etag': f'"{digest}"',
            'X-Linked-Size': str(hub.sizes.get(name, len(content))),
            'Location': f'http://localhost:{port}/bytes/{name}'})

    def _give(self, hub: Hub, name: str) -> None:
        content = hub.files[name]
        found = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', '')) if hub.ranges else None
        start = int(found[1]) if found else 0
        hub.asked.append(('GET', name, start))
        if found and start >= len(content):
            return self._send(416, {})
        headers = {'Content-Length': str(len(content) - start)}
        if found:
            headers['Content-Range'] = f'bytes {start}-{len(content) - 1}/{len(content)}'
        cut = hub.cuts.pop(0) if hub.cuts and hub.broken in ('', name) else None
        self.send_response(206 if found else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content[start:][:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
        return None

    def _send(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for key, value in {'Content-Length': '0', **headers}.items():
            self.send_header(key, value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Whoever asked has gone, which is none of the server's business."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    """A hub with these files, inside the block."""
    server = _Server(('127.0.0.1', 0), _Handler)
    server.hub = Hub(files, url=f'http://127.0.0.1:{server.server_address[1]}')
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
