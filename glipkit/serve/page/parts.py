"""The parts of the page that everybody sees: what a person fills in, and what is found."""
from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glipkit.serve.page.actions import WELCOME, Actions, Shown
from glipkit.serve.page.files import DOWNLOADS
from glipkit.serve.page.session import COLUMNS, FLOOR, SENTENCE, TASK, WORDS, Cut

#: What the slider says, and what it says instead while each name has its own threshold.
SLIDER = 'Show what has a score of at least'
OWN_SLIDER = 'Each name has its own threshold (calibrated)'
#: Longest list of thresholds on the slider, in characters.
_LINE = 80


@dataclass(frozen=True, eq=False)
class Form:
    """What a person fills in."""

    drop: Any
    examples: Any
    mode: Any
    words: Any
    things: Any
    sentence: Any
    task: Any
    model: Any
    never: Any
    groups: Any
    more: Any
    find: Any
    over: Any

    def asked(self) -> list[Any]:
        """The parts that say what is asked, in the order of `what_is_asked`; then the names of what
        was shown."""
        return [self.mode, self.words, self.sentence, self.task, self.model, self.never,
                self.groups, self.things]


@dataclass(frozen=True, eq=False)
class Result:
    """What a person sees."""

    status: Any
    pictures: Any
    threshold: Any
    own: Any
    downloads: dict[str, Any]

    def cut(self) -> list[Any]:
        """The parts of a `Cut`."""
        return [self.threshold, self.own]


def make_form(service: Any, actions: Actions) -> Form:
    """The parts that a person fills in."""
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
    things = gradio.CheckboxGroup([], label='Shown by boxes, looked for too', visible=False,
                                  elem_id='glipkit-things')
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
    return Form(drop, examples, mode, words, things, sentence, task, model, never, groups, more,
                find, over)


def make_result(threshold: float) -> Result:
    """The parts that show what was found, but for the table."""
    import gradio
    status = gradio.HTML(status_text(WELCOME, False), elem_id='glipkit-status')
    pictures = gradio.Gallery(label='Result', elem_id='glipkit-result', interactive=False,
                              preview=True, object_fit='contain', height=460, columns=4,
                              buttons=['download', 'fullscreen'])
    own = gradio.Checkbox(True, label=OWN_SLIDER, visible=False, elem_id='glipkit-own')
    slider = gradio.Slider(FLOOR, 1, value=round(max(FLOOR, threshold), 2), step=0.01, buttons=[],
                           label=SLIDER, elem_id='glipkit-threshold')
    with gradio.Row():
        downloads = {form: gradio.DownloadButton(f'Download {name}', interactive=False, size='sm',
                                                 elem_id=f'glipkit-download-{form}')
                     for form, name in DOWNLOADS.items()}
    return Result(status, pictures, slider, own, downloads)


def updates(shown: Shown, cut: Cut) -> tuple:
    """The values of the session and of all parts that show it."""
    import gradio
    status = status_text(shown.message, shown.alarm)
    if shown.view is None:
        return shown.session, status, *[gradio.skip()] * (4 + len(DOWNLOADS))
    files = [gradio.update(value=shown.view.downloads.get(form),
                           interactive=form in shown.view.downloads) for form in DOWNLOADS]
    # One picture is shown whole, several beside each other; a click makes one of them large.
    pictures = gradio.update(value=shown.view.pictures,
                             **({'selected_index': 0} if len(shown.view.pictures) == 1 else {}))
    own = None if shown.session is None else shown.session.own
    listed = ', '.join(f'{name} {value:.2f}' for name, value in (own or {}).items())
    says = f'{OWN_SLIDER}: {listed}' if own and len(listed) <= _LINE else OWN_SLIDER
    each = bool(own) and cut.own
    return (shown.session, status, pictures, table(shown.view.rows),
            gradio.update(label=says if each else SLIDER, interactive=not each),
            gradio.update(visible=bool(own)), *files)


def status_text(message: str, alarm: bool) -> str:
    """A message that screen readers say when it changes; whatever is in it is text."""
    return f'<div role="{"alert" if alarm else "status"}">{html.escape(message)}</div>'


def table(rows: Sequence[Sequence[Any]]) -> str:
    """What was found, as a table that screen readers know; whatever is in it is text."""
    return html_table('What was found', COLUMNS, rows)


def html_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of texts."""
    head = ''.join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    body = ''.join('<tr>' + ''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row) + '</tr>'
                   for row in rows)
    return (f'<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>'
            f'<tbody>{body}</tbody></table>')
