"""Who is let in, and how much they may send: in front of every route, the page's included."""
from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glipkit.errors import UserError
from glipkit.serve.answers import error_body

#: A browser asks for a name and a password then, and sends them with everything that follows.
_ASK = {'WWW-Authenticate': 'Basic realm="glipkit: any name, the token as password"'}


class Guard:
    """ASGI middleware that refuses requests without the token and bodies that are too large.

    The token is shown as ``Authorization: Bearer TOKEN``, or as the password of basic
    authentication with any name: browsers and annotation tools know that one. Whatever is behind
    the guard, the page and its uploads too, is reached in no other way.

    Args:
        app: The application.
        token: The secret; None lets everybody in.
        max_bytes: Largest body; larger ones are refused before they are read, or where they do not
            tell their length, as soon as they pass it.
    """

    def __init__(self, app: ASGIApp, token: str | None, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope['type'] not in ('http', 'websocket'):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self._token is not None and not self._shows_token(headers.get('authorization', '')):
            error = UserError('the token of this server', 'none or a wrong one',
                              'send the header "Authorization: Bearer TOKEN", or the token as the '
                              'password of basic authentication')
            await self._refuse(scope, receive, send, 401, error, _ASK)
            return
        length = headers.get('content-length', '')
        if length.isdigit() and int(length) > self._max_bytes:
            await self._refuse(scope, receive, send, 413, self._too_large(length),
                               {'Connection': 'close'})
            return
        await self._app(scope, self._counted(receive), send)

    def _shows_token(self, header: str) -> bool:
        """Whether a header holds the token; takes as long for a nearly right one."""
        kind, _, value = header.partition(' ')
        shown = value.strip().encode('latin-1', 'replace')
        if kind.lower() == 'basic':
            try:
                shown = base64.b64decode(shown, validate=True).partition(b':')[2]
            except (ValueError, binascii.Error):
                return False
        elif kind.lower() != 'bearer':
            return False
        return hmac.compare_digest(shown, self._token or b'')

    def _counted(self, receive: Receive) -> Receive:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get('body', b''))
            if read > self._max_bytes:
                raise HTTPException(413, str(self._too_large(f'more than {self._max_bytes}')))
            return message

        return counted

    def _too_large(self, got: str) -> UserError:
        return UserError(f'a body of at most {self._max_bytes} bytes', got,
                         'send a smaller image')

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, error: UserError,
                      headers: dict[str, Any]) -> None:
        if scope['type'] == 'websocket':
            await send({'type': 'websocket.close', 'code': 1008, 'reason': str(error)[:120]})
            return
        await JSONResponse(error_body(error), status, headers)(scope, receive, send)
