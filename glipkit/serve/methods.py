"""Answers for requests by a method that a path does not have."""
from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.exceptions import HTTPException

_METHODS = {'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'}


def refuse_other_methods(app: FastAPI) -> None:
    """Answers 405 on each path that the application has so far, whatever else comes at ``/``.

    Without this, something mounted at ``/`` would get these requests, and answer that there is no
    such path.
    """
    # The schema knows the paths of included routers too, which the list of routes does not.
    for path, known in app.openapi()['paths'].items():
        own = {method.upper() for method in known}
        app.add_api_route(path, _refusal(own), methods=sorted(_METHODS - own),
                          include_in_schema=False)


def _refusal(own: set[str]) -> Callable[[], Awaitable[None]]:

    async def refuse() -> None:
        raise HTTPException(405, 'Method Not Allowed', {'Allow': ', '.join(sorted(own))})

    return refuse
