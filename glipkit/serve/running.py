"""The process of a server: its address, its start and its end."""
from __future__ import annotations

import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from glipkit.errors import UserError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

#: Seconds that requests have to end when the server is stopped.
GRACE = 10


def check_packages(page: bool) -> None:
    """Refuses to begin without the packages that serving needs.

    Args:
        page: Whether the page is wanted.

    Raises:
        UserError: One of them is not installed.
    """
    needed = {'fastapi': 'fastapi', 'uvicorn': 'uvicorn', 'python_multipart': 'python-multipart',
              'httpx': 'httpx'} | ({'gradio': 'gradio'} if page else {})
    missing = [name for module, name in needed.items() if find_spec(module) is None]
    if missing:
        raise UserError(f'the packages of glipkit serve ({", ".join(needed.values())})',
                        f'no {", ".join(missing)}',
                        "pip install 'glipkit[serve]'" + ('' if missing != ['gradio']
                                                          else ', or use --no-page'))


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine alone."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_open(host: str, token: str | None, without_token: bool) -> None:
    """Refuses an address that other machines reach, where nobody has thought of a token.

    Raises:
        UserError: No token, and nobody said that there shall be none; or both.
    """
    if token and without_token:
        raise UserError('--token or --no-token', 'both', 'leave one of them out')
    if not is_loopback(host) and not token and not without_token:
        raise UserError(
            f'--token with --host {host}, since every machine that reaches this one could use the '
            'model', 'no token', 'pass --token WORD (or set GLIPKIT_TOKEN), or --no-token to let '
            'everybody in')


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; connections wait in it until the server has begun.

    Raises:
        UserError: The address is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise UserError('an address of this machine with a free port', f'{host}:{port} ({error})',
                        'pass another --host or --port; --port 0 takes any') from error


def address_of(server: socket.socket) -> str:
    """The address for a browser on this machine."""
    host, port = server.getsockname()[:2]
    host = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host)
    return f'http://[{host}]:{port}' if ':' in host else f'http://{host}:{port}'


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serves an application until the process is told to end, by SIGTERM or Ctrl+C.

    Requests that run then are answered, if they need no more than `GRACE` seconds.

    Args:
        app: The application.
        listening: From `bind`; closed at the end.
    """
    # The server hands signals on when it has ended; to be told to stop is no failure.
    with _ends_quietly():
        make_server(app).run(sockets=[listening])


def make_server(app: FastAPI) -> uvicorn.Server:
    """The server of an application, which ends what would never end by itself when it stops.

    Args:
        app: The application; ``state.before_shutdown`` may hold functions that are called when the
            server is told to end, before it waits for requests.
    """
    import uvicorn

    class Server(uvicorn.Server):

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for close in getattr(app.state, 'before_shutdown', ()):
                close()
            await super().shutdown(sockets)

    return Server(uvicorn.Config(app, log_level='warning', access_log=False, ws='none',
                                 lifespan='on', server_header=False,
                                 timeout_graceful_shutdown=GRACE))


@contextmanager
def _ends_quietly() -> Iterator[None]:
    in_main = threading.current_thread() is threading.main_thread()  # others hear no signals
    names = ('SIGTERM', 'SIGINT') if in_main else ()
    before = {name: signal.signal(getattr(signal, name), lambda *_: None) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def secret(given: str | None, variable: str) -> str | None:
    """A word of the command line, or of the environment, which other users cannot list.

    Raises:
        UserError: An empty word, as a variable without a value gives: nobody means an open door.
    """
    if given is not None and not given.strip():
        raise UserError('a secret word', 'an empty one', 'check the variable that it comes from')
    return given or os.environ.get(variable) or None
