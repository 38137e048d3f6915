"""The HTTP interface: predictions, what there is, and the page beside it."""
from __future__ import annotations

from typing import TYPE_CHECKING

from glipkit.serve.service import Service

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(service: Service, *, token: str | None = None, page: bool = True) -> FastAPI:
    """The web application of a service.

    Args:
        service: What answers.
        token: Secret that every request must show; None lets everybody in.
        page: Whether the page for people is mounted at ``/``.
    """
    from fastapi import FastAPI
    app = FastAPI(title='glipkit')

    @app.get('/health')
    def health() -> dict[str, str]:
        return {'status': 'UP'}

    if page:
        import gradio

        from glipkit.serve.page import build_page
        app = gradio.mount_gradio_app(app, build_page(service), path='/')
    return app
