"""A server on this machine that speaks enough of the Hugging Face hub to fetch files from it, and
to publish files there.

As there, a question for a file is answered by a redirection to another host, which gives the bytes.
Weights are put to an address of their own, and belong to the repository with the commit that names
them.
"""
from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = '0123456789abcdef0123456789abcdef01234567'
#: The token of the only user, who is called anna.
TOKEN = 'hf_0123456789abcdefghij'


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
        refused: Word in the address of a request to publish -> the status that it gets.
        repositories: Those that were made -> how visible they are.
        commits: Repository and files of each commit.
        put: Digest -> content that no commit may have named yet.
    """

    files: dict[str, bytes]
    cuts: list[int | None] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    url: str = ''
    ranges: bool = True
    broken: str = ''
    refused: dict[str, int] = field(default_factory=dict)
    repositories: dict[str, str] = field(default_factory=dict)
    commits: list[tuple[str, list[str]]] = field(default_factory=list)
    put: dict[str, bytes] = field(default_factory=dict)

    @property
    def transfers(self) -> list[int]:
        """First byte of each transfer that was asked for."""
        return [start for method, _, start in self.asked if method == 'GET']


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_HEAD(self) -> None:  # noqa: N802
        self._answer()

    def do_GET(self) -> None:  # noqa: N802
        if self.path.startswith('/api/'):
            return self._publish()
        return self._answer()

    def do_POST(self) -> None:  # noqa: N802
        self._publish()

    def do_PUT(self) -> None:  # noqa: N802
        self._publish()

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

    def _publish(self) -> None:
        """Everything that writes, and who asks."""
        hub: Hub = self.server.hub
        body = self._body()
        refused = next((hub.refused[word] for word in hub.refused if word in self.path), None)
        if refused is not None:
            return self._send(refused, {'X-Error-Message': 'not today'})
        if self.path.startswith('/upload/'):  # another host, which has the address for a password
            hub.put[self.path.removeprefix('/upload/')] = body
            return self._send(200, {})
        if self.headers.get('Authorization') != f'Bearer {TOKEN}':
            return self._send(401, {'X-Error-Message': 'Invalid username or password.'})
        if self.path == '/api/whoami-v2':
            return self._json({'type': 'user', 'name': 'anna', 'auth': {}})
        if self.path == '/api/validate-yaml':
            return self._json({'errors': [], 'warnings': []})
        asked = self.path.split('?')[0]
        if asked == '/api/repos/create':
            return self._create(hub, json.loads(body))
        if asked.endswith('/objects/batch'):
            return self._json({'transfer': 'basic', 'objects': [
                {**one, 'actions': {'upload': {'href': f'{hub.url}/upload/{one["oid"]}'}}}
                for one in json.loads(body)['objects']]})
        found = re.fullmatch(r'/api/models/([^/]+/[^/]+)/(preupload|commit)/main', asked)
        if found is None:
            return self._send(404, {})
        if found[2] == 'preupload':
            return self._json({'files': [
                {'path': one['path'], 'shouldIgnore': False,
                 'uploadMode': 'lfs' if one['path'].endswith('.safetensors') else 'regular'}
                for one in json.loads(body)['files']]})
        return self._commit(hub, found[1], body)

    def _create(self, hub: Hub, wanted: dict) -> None:
        name = f'{wanted.get("organization") or "anna"}/{wanted["name"]}'
        private = wanted.get('visibility') == 'private' or wanted.get('private')
        if name in hub.repositories:
            return self._json({'url': f'{hub.url}/{name}', 'error': 'You already created it'}, 409)
        hub.repositories[name] = 'private' if private else 'public'
        return self._json({'url': f'{hub.url}/{name}', 'name': name})

    def _commit(self, hub: Hub, repository: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        for line in lines:
            one, place = line['value'], f'{repository}:{line["value"].get("path")}'
            if line['key'] == 'file':
                hub.files[place] = base64.b64decode(one['content'])
            elif line['key'] == 'lfsFile':
                hub.files[place] = hub.put[one['oid']]
                assert hashlib.sha256(hub.files[place]).hexdigest() == one['oid']
        hub.commits.append((repository, [line['value']['path'] for line in lines
                                         if line['key'] != 'header']))
        self._json({'commitUrl': f'{hub.url}/{repository}/commit/{COMMIT}', 'commitOid': COMMIT,
                    'success': True})

    def _body(self) -> bytes:
        """The whole of a request, in one piece or in chunks."""
        if self.headers.get('Transfer-Encoding', '') != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length', 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b''.join(parts)

    def _json(self, content: dict, code: int = 200) -> None:
        sent = json.dumps(content).encode()
        self.send_response(code)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

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
