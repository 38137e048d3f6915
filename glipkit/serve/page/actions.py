"""What the page does when somebody uploads, asks or moves the slider; it knows no web framework."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glipkit.errors import UserError
from glipkit.serve.limits import Busy, TimedOut
from glipkit.serve.page.examples import Example, write_examples
from glipkit.serve.page.files import PageFolder, remove_session
from glipkit.serve.page.session import (
    Cut,
    Session,
    View,
    add_pictures,
    ask,
    best_below,
    view,
    what_is_asked,
)

WELCOME = 'Add a picture, type what to look for, and press Find. Or click on an example.'


@dataclass(frozen=True, eq=False)
class Shown:
    """What changes on the page.

    Args:
        session: The tab's session from now on.
        message: One or two sentences for the person.
        alarm: Whether the message says that something did not work.
        view: Pictures, table and files; None where they stay as they are.
    """

    session: Session | None
    message: str
    alarm: bool = False
    view: View | None = None


class Actions:
    """The page's buttons, as functions of a tab's session.

    Args:
        service: `glipkit.serve.service.Service`, or what answers as it does.
        folder: The page's folder.
        examples: Pictures to try it with.
    """

    def __init__(self, service: Any, folder: PageFolder, examples: Sequence[Example]) -> None:
        self.service, self.folder, self.examples = service, folder, tuple(examples)
        self.example_files = write_examples(self.examples, folder.examples)

    def add(self, session: Session | None, uploads: Sequence[str | Path],
            cut: Cut) -> Shown:
        """Adds uploaded pictures; what cannot be read is told and left out."""
        before = 0 if session is None else len(session.pictures)
        session, refused = add_pictures(session, uploads, self.folder, self.service.limits)
        added = len(session.pictures) - before
        message = _each(refused)
        if added:
            message = f'{count(added, "picture")} added. {message}'.strip()
        if added and not refused:
            message += ' Now type what to look for, and press Find.'
        return self._shown(session, cut, message, bool(refused))

    def find(self, session: Session | None, cut: Cut, *form: Any) -> Iterator[Shown]:
        """Asks the model; one step for each picture, and the whole at the end.

        Args:
            session: The tab's session.
            cut: What is shown.
            *form: The arguments of `what_is_asked`.
        """
        try:
            if session is None or not session.pictures:
                raise UserError('a picture', 'none', 'add one, or click on an example')
            asked = what_is_asked(*form)
        except UserError as error:
            yield Shown(session, told(error), True)
            return
        errors: list[Exception] = []
        total = count(len(session.pictures), 'picture')
        yield Shown(session, f'Looking at {total} …')
        for done, (state, error) in enumerate(ask(session, asked, self.service), 1):
            session = state
            errors += [] if error is None else [error]
            yield Shown(session, f'Looked at {done} of {total} …')
        # One message for a question that is at fault, not one for each picture.
        problems = ' '.join(dict.fromkeys(map(told, errors)))
        message = f'{summary(session, cut)} {problems}'.strip()
        yield self._shown(replace(session, cut=cut), cut, message, bool(errors))

    def redraw(self, session: Session | None, cut: Cut) -> Shown:
        """Shows what was found with another slider; the model is not asked.

        The session stays as it is: an answer may be on its way to it.
        """
        if session is None or not session.pictures:
            return Shown(session, WELCOME)
        return self._shown(session, cut, summary(session, cut))

    def catch_up(self, session: Session | None, cut: Cut) -> Shown | None:
        """Redraws an answer whose slider was moved while the model was at work; else None."""
        if session is None or session.cut in (None, cut):
            return None
        return self.redraw(session, cut)

    def example(self, session: Session | None, number: int, cut: Cut) -> Shown:
        """Begins anew with one of the examples, whose words the page fills in."""
        remove_session(None if session is None else session.folder)
        session, refused = add_pictures(None, [self.example_files[number]], self.folder,
                                        self.service.limits)
        return self._shown(session, cut, _each(refused), bool(refused))

    def start_over(self, session: Session | None) -> Shown:
        """Forgets the pictures of a tab."""
        remove_session(None if session is None else session.folder)
        return Shown(None, WELCOME, view=View([], [], {}))

    def _shown(self, session: Session, cut: Cut, message: str,
               alarm: bool = False) -> Shown:
        try:
            return Shown(session, message, alarm, view(session, cut))
        except UserError as error:
            return Shown(None, told(error), True, View([], [], {}))


def _each(refused: Mapping[str, UserError]) -> str:
    return ' '.join(f'{name}: {told(error)}' for name, error in refused.items())


def told(error: Exception) -> str:
    """An error as sentences for a person."""
    if isinstance(error, UserError):
        fix = error.fix[:1].upper() + error.fix[1:]
        return f'Expected {error.expected}, got {error.got}. {fix}.'
    if isinstance(error, (Busy, TimedOut)):
        text = str(error)
        return f'{text[:1].upper()}{text[1:]}.'
    raise error


def summary(session: Session, cut: Cut) -> str:
    """How much was found, and how to see more."""
    answered = session.answered()
    if not answered:
        return 'Nothing was asked yet.' if session.pictures else WELCOME
    things = sum(int(session.shown(picture.found, cut).sum()) for picture in answered)
    where = f'in {count(len(answered), "picture")}'
    below = best_below(session, cut)
    if things:
        return f'{count(things, "thing")} found {where}.'
    if below is None:
        return f'Nothing found {where}. Try other words.'
    score, name = below
    if cut.own and session.own is not None:
        return (f'Nothing {where} passes the threshold of its name. The best is {name} with '
                f'{score:.2f}: use one threshold for all, and move the slider to see it.')
    return (f'Nothing {where} has a score of {cut.score:.2f} or more. The best is {name} with '
            f'{score:.2f}: move the slider to the left to see it.')


def count(number: int, thing: str) -> str:
    """'1 picture', '2 pictures'."""
    return f'{number} {thing}{"" if number == 1 else "s"}'
