"""The part of the page where a person draws boxes around a thing; made with Gradio."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glipkit.serve.page.marks import MEANT, NOT_MEANT, Marks
from glipkit.serve.page.parts import html_table, status_text
from glipkit.serve.page.session import Session
from glipkit.serve.page.showing import START, Canvas, Showing

TITLE = 'No words for it? Show it: draw a box around a thing, and find more like it'
#: What the boxes are called on the page.
_COLUMNS = ('picture', 'name', 'shows', 'box in px')


@dataclass(frozen=True, eq=False)
class Show:
    """What a person shows things with.

    Args:
        canvas: The picture that is clicked on.
        picture: Which picture it is.
        name: What the thing is called.
        kind: Whether a box is around it, or around what is not meant.
        corners: A box as numbers.
        undo: Takes the last click or box back.
        learn: Learns what was drawn.
        stop: Ends that.
        file: The task file.
        notes: What was drawn, and what to do next.
    """

    canvas: Any
    picture: Any
    name: Any
    kind: Any
    corners: Any
    undo: Any
    learn: Any
    stop: Any
    file: Any
    notes: Any

    def drawn(self) -> list[Any]:
        """The parts that a change of the marks changes, in the order of `canvas_updates`."""
        return [self.picture, self.canvas, self.notes]


def show_form() -> Show:
    """The parts, in a box that is closed at first."""
    import gradio
    with gradio.Accordion(TITLE, open=False, elem_id='glipkit-show'), gradio.Row():
        with gradio.Column(scale=3, min_width=320):
            canvas = gradio.Image(label='Click on two opposite corners of the thing',
                                  type='filepath', interactive=False, buttons=['fullscreen'],
                                  height=460, elem_id='glipkit-canvas')
        with gradio.Column(scale=2, min_width=280):
            picture = gradio.Dropdown([], label='Picture', interactive=True,
                                      elem_id='glipkit-canvas-picture')
            name = gradio.Textbox(label='Name of the thing', placeholder='our part',
                                  elem_id='glipkit-thing')
            kind = gradio.Radio([MEANT, NOT_MEANT], value=MEANT, label='What the next box shows',
                                elem_id='glipkit-kind')
            corners = gradio.Textbox(
                label='Without a mouse: left, top, right, bottom in pixels, then Enter',
                placeholder='10, 20, 110, 90', elem_id='glipkit-corners')
            with gradio.Row():
                learn = gradio.Button('Learn it and find it', variant='primary',
                                      elem_id='glipkit-learn')
                stop = gradio.Button('Stop', elem_id='glipkit-stop')
                undo = gradio.Button('Take the last one back', elem_id='glipkit-undo')
            file = gradio.DownloadButton('Download the task file', interactive=False, size='sm',
                                         elem_id='glipkit-download-task')
            # The last, since it grows: no button moves away under a finger.
            notes = gradio.HTML(_notes(Canvas(Marks(), None, None, START)), elem_id='glipkit-marks',
                                apply_default_css=False)
    return Show(canvas, picture, name, kind, corners, undo, learn, stop, file, notes)


def canvas_updates(session: Session | None, canvas: Canvas) -> tuple:
    """The marks, and the values of `Show.drawn`."""
    import gradio
    names = [] if session is None else [one.name for one in session.pictures]
    return (canvas.marks, gradio.update(choices=names, value=canvas.picture), canvas.file,
            _notes(canvas))


def connect_show(showing: Showing, session: Any, marks: Any, show: Show) -> Any:
    """Clicks, typed boxes, and what takes them back; returns the event after which to learn."""
    import gradio
    state = [session, marks, show.picture]
    # One after the other: a second click finds what the first one left.
    common = dict(api_visibility='undocumented', show_progress='hidden', trigger_mode='multiple',
                  concurrency_id='marks', concurrency_limit=1)

    def click(old: Any, drawn: Any, picture: str | None, name: str, kind: str,
              chosen: Any) -> tuple:
        return canvas_updates(old, showing.click(old, drawn, picture, tuple(chosen.index), name,
                                                 kind))

    click.__annotations__['chosen'] = gradio.SelectData
    outputs = [marks, *show.drawn()]
    show.canvas.select(click, [*state, show.name, show.kind], outputs, api_name='click', **common)
    # Only here the typed box is emptied: whoever types on meanwhile keeps what he has typed.
    show.corners.submit(
        lambda old, drawn, picture, text, name, kind: _typed(
            old, showing.type(old, drawn, picture, text, name, kind), text),
        [*state, show.corners, show.name, show.kind], [*outputs, show.corners],
        api_name='corners', **common)
    show.undo.click(lambda old, drawn, picture: canvas_updates(
        old, showing.undo(old, drawn, picture)), state, outputs, api_name='undo', **common)
    # Before it is learned: boxes that were drawn without a name get it.
    naming = show.learn.click(lambda old, drawn, picture, name: canvas_updates(
        old, showing.name(old, drawn, picture, name)), [*state, show.name], outputs,
        api_name='name', **{**common, 'trigger_mode': 'once'})
    show.picture.input(lambda old, drawn, picture: canvas_updates(
        old, showing.canvas(old, drawn, picture)), state, outputs, api_name='picture', **common)
    return naming


def _typed(session: Session | None, canvas: Canvas, text: str) -> tuple:
    """Updates after a typed box, which stays to be corrected where it was refused."""
    return *canvas_updates(session, canvas), text if canvas.alarm else ''


def _notes(canvas: Canvas) -> str:
    """What to do next, and the boxes as a table; whatever is in it is text."""
    text = status_text(canvas.message, canvas.alarm)
    if not canvas.marks.drawn:
        return text
    rows = [(mark.picture, mark.name or '?', 'it' if mark.meant else 'not it',
             ', '.join(f'{value:.0f}' for value in mark.box)) for mark in canvas.marks.drawn]
    return text + html_table('Boxes that were drawn', _COLUMNS, rows)
