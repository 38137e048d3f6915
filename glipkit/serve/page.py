"""The page for people: pictures and words in, boxes on the pictures out; made with Gradio.

Gradio is imported by `build_page`, not with this module: it takes two seconds, and comes with
``pip install 'glipkit[serve]'``.
"""
from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glipkit.errors import UserError
from glipkit.serve.page_actions import WELCOME, Actions, Shown
from glipkit.serve.page_examples import examples_for
from glipkit.serve.page_files import DOWNLOADS, SESSIONS, page_folder, remove_session
from glipkit.serve.page_guard import PageGuard
from glipkit.serve.page_session import COLUMNS, FLOOR, SENTENCE, TASK, WORDS

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
#glipkit-status [role] { padding: .6rem .9rem; border-radius: 8px; min-height: 1.4em;
  background: var(--background-fill-secondary); border-left: 4px solid var(--primary-500); }
#glipkit-status [role=alert] { border-left-color: #d92d20; }
#glipkit-table { max-height: 340px; overflow-y: auto; }
#glipkit-table table { width: 100%; border-collapse: collapse; font-size: .9rem; }
#glipkit-table caption { text-align: left; font-weight: 600; padding: .3rem 0; }
#glipkit-table th, #glipkit-table td { text-align: right; padding: .3rem .6rem;
  border-bottom: 1px solid var(--border-color-primary); font-variant-numeric: tabular-nums; }
#glipkit-table th:nth-child(-n+2), #glipkit-table td:nth-child(-n+2) { text-align: left; }
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
    with gradio.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gradio.HTML('<h1>Find things in pictures by their names</h1><p>Any words will do: the '
                    'model reads them.</p>', elem_id='glipkit-title')
        # A function of its own: gradio copies everything else that a part is made with.
        session = gradio.State(delete_callback=lambda closed: _forget(page, closed))
        with gradio.Row():
            with gradio.Column(scale=2, min_width=320):
                form = _form(service, actions)
            with gradio.Column(scale=3, min_width=320):
                result = _result(service.predictor.score_threshold)
        table = gradio.HTML(_table([]), elem_id='glipkit-table', apply_default_css=False)
        _connect(actions, session, form, result, table)
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


@dataclass(frozen=True, eq=False)
class _Form:
    """What a person fills in."""

    drop: Any
    examples: Any
    mode: Any
    words: Any
    sentence: Any
    task: Any
    model: Any
    never: Any
    groups: Any
    more: Any
    find: Any
    over: Any

    def asked(self) -> list[Any]:
        """The parts that say what is asked, in the order of `what_is_asked`."""
        return [self.mode, self.words, self.sentence, self.task, self.model, self.never,
                self.groups]


@dataclass(frozen=True, eq=False)
class _Result:
    """What a person sees."""

    status: Any
    pictures: Any
    threshold: Any
    downloads: dict[str, Any]


def _form(service: Any, actions: Actions) -> _Form:
    import gradio
    drop = gradio.Gallery(
        label='1. Add pictures', elem_id='glipkit-pictures', interactive=True, type='filepath',
        file_types=['image'], sources=['upload', 'clipboard'], height=170, buttons=[])
    examples = gradio.Gallery(
        [(file, one.title) for file, one in zip(actions.example_files, actions.examples)],
        label='or try an example', elem_id='glipkit-examples', interactive=False, buttons=[],
        allow_preview=False, columns=max(1, len(actions.examples)), height=170, object_fit='cover')
    tasks, models = service.tasks(), service.models()
    mode = gradio.Radio([WORDS, SENTENCE, *([TASK] if tasks else [])], value=WORDS,
                        label='2. Say what to look for, by', elem_id='glipkit-mode')
    words = gradio.Textbox(label='Words, with commas between; cup = mug for two names of one',
                           elem_id='glipkit-words',
                           placeholder=actions.examples[0].words if actions.examples else '')
    with gradio.Accordion('Look-alikes and groups', open=False, elem_id='glipkit-more') as more:
        never = gradio.Textbox(label='Never these, with commas between', elem_id='glipkit-never')
        groups = gradio.Textbox(label='Of these words one thing has one; a group on each line',
                                elem_id='glipkit-groups', lines=2)
    sentence = gradio.Textbox(label='A sentence; its things are looked for', visible=False,
                              placeholder='a red circle beside a blue star',
                              elem_id='glipkit-sentence')
    task = gradio.Dropdown(tasks, value=tasks[0] if tasks else None, label='Task', visible=False,
                           elem_id='glipkit-task')
    model = gradio.Dropdown(models, value=models[0], label='Model', visible=len(models) > 1,
                            elem_id='glipkit-model')
    find = gradio.Button('3. Find', variant='primary', elem_id='glipkit-find')
    over = gradio.Button('Start over', elem_id='glipkit-start-over')
    return _Form(drop, examples, mode, words, sentence, task, model, never, groups, more, find,
                 over)


def _result(threshold: float) -> _Result:
    import gradio
    status = gradio.HTML(_status(WELCOME, False), elem_id='glipkit-status')
    pictures = gradio.Gallery(label='Result', elem_id='glipkit-result', interactive=False,
                              preview=True, object_fit='contain', height=460, columns=4,
                              buttons=['download', 'fullscreen'])
    slider = gradio.Slider(FLOOR, 1, value=round(max(FLOOR, threshold), 2), step=0.01, buttons=[],
                           label='Show what has a score of at least', elem_id='glipkit-threshold')
    with gradio.Row():
        downloads = {form: gradio.DownloadButton(f'Download {name}', interactive=False, size='sm',
                                                 elem_id=f'glipkit-download-{form}')
                     for form, name in DOWNLOADS.items()}
    return _Result(status, pictures, slider, downloads)


def _connect(actions: Actions, session: Any, form: _Form, result: _Result,
             table: Any) -> None:
    """Which part of the page does what."""
    import gradio
    outputs = [session, result.status, result.pictures, table, *result.downloads.values()]
    common = dict(api_visibility='undocumented', show_progress='minimal',
                  show_progress_on=[result.pictures])

    def find(*values: Any) -> Iterator[tuple]:
        for shown in actions.find(*values):
            yield _updates(shown)

    finding = gradio.on([form.find.click, form.words.submit, form.sentence.submit], find,
                        [session, result.threshold, *form.asked()], outputs, api_name='find',
                        trigger_mode='once', concurrency_id='find', concurrency_limit=16, **common)
    # An answer that is still on its way belongs to the pictures before.
    form.drop.upload(
        lambda old, uploads, threshold: (
            None, *_updates(actions.add(old, [path for path, _ in uploads or []], threshold))),
        [session, form.drop, result.threshold], [form.drop, *outputs], api_name='add',
        cancels=[finding], **common)
    # Drawing leaves the session alone: an answer may be on its way to it.
    silent = {**common, 'show_progress': 'hidden'}
    result.threshold.change(lambda old, threshold: _updates(actions.redraw(old, threshold))[1:],
                            [session, result.threshold], outputs[1:], api_name='redraw',
                            trigger_mode='always_last', **silent)

    def catch_up(old: Any, threshold: float) -> Any:
        shown = actions.catch_up(old, threshold)
        return [gradio.skip()] * len(outputs[1:]) if shown is None else list(_updates(shown)[1:])

    form.over.click(lambda old: ('', *_updates(actions.start_over(old))), [session],
                      [form.words, *outputs], api_name='start_over', cancels=[finding], **common)

    def example(old: Any, threshold: float, chosen: Any) -> tuple:
        return (WORDS, actions.examples[chosen.index].words,
                *_updates(actions.example(old, chosen.index, threshold)))

    # Gradio goes by the type, and finds no name that is imported in a function.
    example.__annotations__['chosen'] = gradio.SelectData
    form.examples.select(example, [session, result.threshold], [form.mode, form.words, *outputs],
                         api_name='example', cancels=[finding], **common).success(
        find, [session, result.threshold, *form.asked()], outputs, concurrency_id='find',
        **common).then(catch_up, [session, result.threshold], outputs[1:], **silent)
    finding.then(catch_up, [session, result.threshold], outputs[1:], **silent)
    form.mode.change(lambda mode: [gradio.update(visible=mode == one)
                                   for one in (WORDS, SENTENCE, TASK, WORDS)],
                     [form.mode], [form.words, form.sentence, form.task, form.more],
                     api_name='mode', **silent)


def _updates(shown: Shown) -> tuple:
    """The values of the session and of all parts that show it."""
    import gradio
    status = _status(shown.message, shown.alarm)
    if shown.view is None:
        return shown.session, status, *[gradio.skip()] * (2 + len(DOWNLOADS))
    files = [gradio.update(value=shown.view.downloads.get(form),
                           interactive=form in shown.view.downloads) for form in DOWNLOADS]
    # One picture is shown whole, several beside each other; a click makes one of them large.
    pictures = gradio.update(value=shown.view.pictures,
                             **({'selected_index': 0} if len(shown.view.pictures) == 1 else {}))
    return shown.session, status, pictures, _table(shown.view.rows), *files


def _status(message: str, alarm: bool) -> str:
    """A message that screen readers say when it changes; whatever is in it is text."""
    return f'<div role="{"alert" if alarm else "status"}">{html.escape(message)}</div>'


def _table(rows: Sequence[Sequence[Any]]) -> str:
    """What was found, as a table that screen readers know; whatever is in it is text."""
    head = ''.join(f'<th scope="col">{html.escape(name)}</th>' for name in COLUMNS)
    body = ''.join('<tr>' + ''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row) + '</tr>'
                   for row in rows)
    return (f'<table><caption>What was found</caption><thead><tr>{head}</tr></thead>'
            f'<tbody>{body}</tbody></table>')


def _forget(page: gradio.Blocks, session: Any) -> None:
    """Removes what a closed tab had."""
    remove_session(None if session is None else session.folder)
    # Gradio notes the name of every file that it has ever shown, to remove them itself.
    for names in page.temp_file_sets:
        names.clear()
