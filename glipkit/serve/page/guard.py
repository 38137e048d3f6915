"""What the page lets through to gradio: the few addresses that its own browser code asks for."""
from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from glipkit.serve.page.files import PageFolder

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: Bytes of the files of all tabs; beyond that nothing can be uploaded until some are removed.
MAX_STORED = 4 * 2**30
#: Bytes of one event of the page, which carries names of uploads, never their content.
MAX_EVENT = 2**20
#: Where the page's uploads go; the only large bodies that it has.
UPLOAD = '/gradio_api/upload'
_EVENT = '/gradio_api/queue/join'
_FILE = '/gradio_api/file='
_OPEN = re.compile(
    r'/|/(?:config|theme\.css|robots\.txt|manifest\.json|favicon\.ico)'
    r'|/(?:static|assets|svelte)/.+'
    r'|/gradio_api/(?:startup-events|app_id|theme\.css|info|upload_progress|queue/(?:join|data)'
    r'|cancel|reset|upload|heartbeat/[\w-]+)')


class PageGuard:
    """Stands before gradio's application and refuses what the page does not need.

    Gradio can also fetch addresses for its visitors, list folders, keep and share histories and
    serve whatever lies in a shared folder; none of that is reachable here. An event may name
    uploads of this page, and no other files or addresses.

    Args:
        app: Gradio's application.
        folder: The page's folder.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], folder: PageFolder) -> None:
        self.app, self.folder = app, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] == 'websocket':  # the page has none
            return None
        if scope['type'] != 'http':
            return await self.app(scope, receive, send)
        path = _local_path(scope)
        if path.startswith(_FILE):
            if not self._serves(path.removeprefix(_FILE)):
                return await _answer(send, 403, 'no file of this page')
        elif not _OPEN.fullmatch(path.rstrip('/') or '/'):
            return await _answer(send, 404, 'nothing here')
        if path == UPLOAD and self.folder.sweep() > MAX_STORED:
            return await _answer(send, 503, 'the server is full; try again later')
        if path == _EVENT:
            body = await _body(receive)
            if body is None:
                return await _answer(send, 413, 'too long')
            if not self._names_uploads_only(body):
                return await _answer(send, 403, 'only files that were uploaded here')
            receive = _again(body, receive)
        return await self.app(scope, receive, send)

    def _serves(self, name: str) -> bool:
        """Whether a file is of this page, with all links followed."""
        if '\0' in name or not Path(name).is_absolute():
            return False
        return Path(name).resolve().is_relative_to(self.folder.path)

    def _names_uploads_only(self, body: bytes) -> bool:
        try:
            content = json.loads(body)
        except ValueError:
            return True  # gradio says what is wrong with it
        except RecursionError:
            return False
        waiting = [content]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                path = value.get('path')
                if path is not None and not (isinstance(path, str) and self._serves(path)):
                    return False
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value
        return True


def _local_path(scope: Scope) -> str:
    """The path below the place where the page is mounted."""
    path, root = scope['path'], scope.get('root_path', '')
    return path[len(root):] if root and path.startswith(root) else path


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None for one that is too long."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message['type'] != 'http.request':
            return None
        parts.append(message.get('body', b''))
        size += len(parts[-1])
        if size > MAX_EVENT:
            return None
        more = message.get('more_body', False)
    return b''.join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The receiver of a request whose body was read."""
    waiting = [{'type': 'http.request', 'body': body, 'more_body': False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _answer(send: Send, status: int, text: str) -> None:
    await send({'type': 'http.response.start', 'status': status,
                'headers': [(b'content-type', b'text/plain; charset=utf-8')]})
    await send({'type': 'http.response.body', 'body': text.encode()})
