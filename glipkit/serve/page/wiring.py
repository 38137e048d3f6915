"""Which part of the page does what."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from glipkit.serve.page.actions import Actions
from glipkit.serve.page.parts import Form, Result, status_text, updates
from glipkit.serve.page.session import SENTENCE, TASK, WORDS, Cut, Session
from glipkit.serve.page.showing import Showing, Taught
from glipkit.serve.page.showing_parts import Show, canvas_updates, connect_show


@dataclass(frozen=True, eq=False)
class States:
    """What a tab remembers: each is written by other events, so that none undoes another's.

    Args:
        session: `Session`: pictures and answers.
        marks: `Marks`: what was drawn.
        taught: `Taught`: what was learned.
        went: Whether the last lesson went well.
    """

    session: Any
    marks: Any
    taught: Any
    went: Any


class Wiring:
    """The events of the page.

    Args:
        actions: What the buttons do.
        showing: What drawing does.
        states: What a tab remembers.
        form: What a person fills in.
        result: What a person sees.
        table: The table below it.
        show: What a person draws with; None where the service learns nothing.
    """

    def __init__(self, actions: Actions, showing: Showing, states: States, form: Form,
                 result: Result, table: Any, show: Show | None) -> None:
        self.actions, self.showing, self.states = actions, showing, states
        self.form, self.result, self.show = form, result, show
        self.outputs = [states.session, result.status, result.pictures, table, result.threshold,
                        result.own, *result.downloads.values()]
        self.cut = [states.session, *result.cut()]
        self.question = [*self.cut, *form.asked(), states.taught]
        self.common = dict(api_visibility='undocumented', show_progress='minimal',
                           show_progress_on=[result.pictures])
        # Drawing leaves the session alone: an answer may be on its way to it.
        self.silent = {**self.common, 'show_progress': 'hidden'}

    def connect(self) -> None:
        """All events."""
        import gradio
        form = self.form
        finding = gradio.on([form.find.click, form.words.submit, form.never.submit,
                             form.sentence.submit], self._find, self.question, self.outputs,
                            api_name='find', trigger_mode='once', concurrency_id='find',
                            concurrency_limit=16, **self.common)
        finding.then(self._catch_up, self.cut, self.outputs[1:], **self.silent)
        slid = dict(api_name='redraw', trigger_mode='always_last', **self.silent)
        gradio.on([self.result.threshold.change, self.result.own.change], self._redraw, self.cut,
                  self.outputs[1:], **slid)
        form.mode.change(
            lambda mode: [gradio.update(visible=mode == one)
                          for one in (WORDS, SENTENCE, TASK, WORDS)],
            [form.mode], [form.words, form.sentence, form.task, form.more], api_name='mode',
            **self.silent)
        lessons = [] if self.show is None else self._connect_lessons(self.show)
        self._connect_pictures([finding, *lessons])

    def _connect_pictures(self, answering: list[Any]) -> None:
        """What changes the pictures of a tab: an answer on its way belongs to those before."""
        import gradio
        form = self.form
        added = form.drop.upload(self._add, [self.states.session, form.drop, *self.result.cut()],
                                 [form.drop, *self.outputs], api_name='add', cancels=answering,
                                 **self.common)
        over = form.over.click(self._start_over, self.cut, [form.words, *self.outputs],
                               api_name='start_over', cancels=answering, **self.common)
        # Gradio goes by the type, and finds no name that is imported in a function.
        example = self._example
        example.__func__.__annotations__['chosen'] = gradio.SelectData
        chosen = form.examples.select(example, self.cut, [form.mode, form.words, *self.outputs],
                                      api_name='example', cancels=answering, **self.common)
        chosen.success(self._find, self.question, self.outputs, concurrency_id='find',
                       **self.common).then(self._catch_up, self.cut, self.outputs[1:],
                                           **self.silent)
        if self.show is not None:
            states = self.states
            for event in (added, over, chosen):
                event.then(self._follow, [states.session, states.marks, states.taught,
                                          self.show.picture],
                           [states.marks, *self.show.drawn(), states.taught, form.things,
                            self.show.file], **self.silent)

    def _connect_lessons(self, show: Show) -> list[Any]:
        """Drawing and learning; returns the events that an answer may be on its way from."""
        states, form = self.states, self.form
        naming = connect_show(self.showing, states.session, states.marks, show)
        learning = naming.then(
            self._learn, [states.session, states.marks, show.name, states.taught],
            [states.taught, states.went, self.result.status, form.mode, form.things, show.file],
            concurrency_id='learn', concurrency_limit=16, api_name='learn', **self.silent)
        finding = learning.then(self._find_if, [states.went, *self.question], self.outputs,
                                concurrency_id='find', **self.common)
        finding.then(self._catch_up, self.cut, self.outputs[1:], **self.silent)
        show.stop.click(self.showing.stop, [states.session], None, api_name='stop', **self.silent)
        return [finding]

    # -- what happens -----------------------------------------------------------------------------

    def _find(self, session: Session | None, score: float, own: bool, mode: str, words: str,
              sentence: str, task: str | None, model: str | None, never: str,
              groups: str, things: list[str], taught: Taught | None) -> Iterator[tuple]:
        cut, learned = Cut(score, own), None
        if taught is not None:
            names = [name for name in taught.learned.names if name in things]
            learned = taught.learned.task, names
        for shown in self.actions.find(session, cut, mode, words, sentence, task, model, never,
                                       groups, learned):
            yield updates(shown, cut)

    def _find_if(self, went: bool, *question: Any) -> Iterator[tuple]:
        import gradio
        if went:
            yield from self._find(*question)
        else:
            yield tuple(gradio.skip() for _ in self.outputs)

    def _redraw(self, session: Session | None, score: float, own: bool) -> tuple:
        cut = Cut(score, own)
        return updates(self.actions.redraw(session, cut), cut)[1:]

    def _catch_up(self, session: Session | None, score: float, own: bool) -> tuple:
        import gradio
        cut = Cut(score, own)
        shown = self.actions.catch_up(session, cut)
        return tuple(gradio.skip() for _ in self.outputs[1:]) if shown is None \
            else updates(shown, cut)[1:]

    def _add(self, session: Session | None, uploads: Any, score: float, own: bool) -> tuple:
        cut = Cut(score, own)
        files = [path for path, _ in uploads or []]
        return None, *updates(self.actions.add(session, files, cut), cut)

    def _start_over(self, session: Session | None, score: float, own: bool) -> tuple:
        self.showing.stop(session)
        return '', *updates(self.actions.start_over(session), Cut(score, own))

    def _example(self, session: Session | None, score: float, own: bool, chosen: Any) -> tuple:
        self.showing.stop(session)
        cut = Cut(score, own)
        return (WORDS, self.actions.examples[chosen.index].words,
                *updates(self.actions.example(session, chosen.index, cut), cut))

    def _follow(self, session: Session | None, marks: Any, taught: Taught | None,
                picture: str | None) -> tuple:
        """The part for drawing shows the pictures of the tab; what was learned goes with them."""
        import gradio
        left = self.showing.still(taught)
        gone = (gradio.update(choices=[], value=[], visible=False),
                gradio.update(value=None, interactive=False))
        return (*canvas_updates(session, self.showing.canvas(session, marks, picture)), left,
                *(gone if left is None else (gradio.skip(), gradio.skip())))

    def _learn(self, session: Session | None, marks: Any, name: str,
               taught: Taught | None) -> Iterator[tuple]:
        import gradio
        for step in self.showing.learn(session, marks, name):
            status = status_text(step.message, step.alarm)
            if step.taught is None:
                yield taught, False, status, *[gradio.skip()] * 3
                continue
            self.showing.forget(taught)
            names = list(step.taught.learned.names)
            yield (step.taught, True, status, WORDS,
                   gradio.update(choices=names, value=names, visible=True),
                   gradio.update(value=step.taught.file, interactive=True))
