"""The page for people: pictures and words in, boxes on the pictures out; made with Gradio.

Gradio is imported by `build_page`, not with this module: it takes two seconds, and comes with
``pip install 'glipkit[serve]'``.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glipkit.errors import UserError
from glipkit.serve.page.actions import Actions
from glipkit.serve.page.examples import examples_for
from glipkit.serve.page.files import SESSIONS, page_folder, remove_session
from glipkit.serve.page.guard import PageGuard
from glipkit.serve.page.parts import make_form, make_result, table
from glipkit.serve.page.showing import Showing
from glipkit.serve.page.showing_parts import show_form
from glipkit.serve.page.wiring import States, Wiring

if TYPE_CHECKING:
    import gradio
    from fastapi import FastAPI

TITLE = 'glipkit: find things by their names'
#: Requests of the page that wait for their turn; the next one is told to come again.
WAITING = 64
#: The page's own look: one width for all parts, and a status that is seen.
CSS = '''
.gradio-container { max-width: 1240px !important; }
#glipkit-title h1 { font-size: 1.6rem; margin: 0; }
:is(#glipkit-status, #glipkit-marks) [role] { padding: .6rem .9rem; border-radius: 8px;
  min-height: 1.4em; background: var(--background-fill-secondary);
  border-left: 4px solid var(--primary-500); }
:is(#glipkit-status, #glipkit-marks) [role=alert] { border-left-color: #d92d20; }
:is(#glipkit-table, #glipkit-marks) { max-height: 340px; overflow-y: auto; }
:is(#glipkit-table, #glipkit-marks) table { width: 100%; border-collapse: collapse;
  font-size: .9rem; }
:is(#glipkit-table, #glipkit-marks) caption { text-align: left; font-weight: 600;
  padding: .3rem 0; }
:is(#glipkit-table, #glipkit-marks) :is(th, td) { text-align: right; padding: .3rem .6rem;
  border-bottom: 1px solid var(--border-color-primary); font-variant-numeric: tabular-nums; }
:is(#glipkit-table, #glipkit-marks) :is(th, td):nth-child(-n+2) { text-align: left; }
#glipkit-canvas img { cursor: crosshair; }
'''


def build_page(service: Any) -> gradio.Blocks:
    """The page of a service. `mount_page` puts it into an application.

    Args:
        service: `glipkit.serve.service.Service`, or what answers as it does.

    Raises:
        UserError: Without the package gradio.
    """
    gradio = _gradio()
    folder = page_folder()  # before any part is made: each remembers where its files go
    actions = Actions(service, folder, examples_for(service.models()[0]))
    showing = Showing(service)
    with gradio.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gradio.HTML('<h1>Find things in pictures by their names</h1><p>Any words will do: the '
                    'model reads them.</p>', elem_id='glipkit-title')
        # A function of its own: gradio copies everything else that a part is made with.
        session = gradio.State(delete_callback=lambda closed: _forget(page, closed))
        states = States(session, gradio.State(), gradio.State(
            delete_callback=lambda closed: showing.forget(closed)), gradio.State(False))
        with gradio.Row():
            with gradio.Column(scale=2, min_width=320):
                form = make_form(service, actions)
            with gradio.Column(scale=3, min_width=320):
                result = make_result(service.predictor.score_threshold)
        show = None if service.learning is None else show_form()
        found = gradio.HTML(table([]), elem_id='glipkit-table', apply_default_css=False)
        Wiring(actions, showing, states, form, result, found, show).connect()
    # Sessions beyond these would keep their state for nothing: their files are gone.
    page.state_session_capacity = 4 * SESSIONS
    return page.queue(max_size=WAITING, default_concurrency_limit=4, api_open=False)


def mount_page(app: FastAPI, service: Any, path: str = '/') -> FastAPI:
    """Mounts the page, with everything closed that it does not need.

    Nothing comes from or goes to other servers: fonts are the system's, and there are no analytics.

    Args:
        app: Application; routes that it has already come first.
        service: As in `build_page`.
        path: Where the page is.

    Raises:
        UserError: Without the package gradio.
    """
    gradio = _gradio()
    theme = gradio.themes.Soft(font=['system-ui', 'sans-serif'],
                               font_mono=['ui-monospace', 'monospace'])
    app = gradio.mount_gradio_app(
        app, build_page(service), path, theme=theme, css=CSS, footer_links=[], run_history=False,
        allowed_paths=[], max_file_size=service.limits.max_bytes, ssr_mode=False, show_error=False,
        enable_monitoring=False, pwa=False, mcp_server=False)
    inner = app.routes[-1].app
    inner.add_middleware(PageGuard, folder=page_folder())
    # Every open tab holds a connection, for which a server that stops would wait.
    app.state.before_shutdown = [*getattr(app.state, 'before_shutdown', ()), inner.stop_event.set]
    return app


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise UserError('the package gradio for the page', f'none ({error})',
                        "pip install 'glipkit[serve]', or use --no-page (page=False)") from error
    return gradio


def _forget(page: gradio.Blocks, session: Any) -> None:
    """Removes what a closed tab had."""
    remove_session(None if session is None else session.folder)
    # Gradio notes the name of every file that it has ever shown, to remove them itself.
    for names in page.temp_file_sets:
        names.clear()
