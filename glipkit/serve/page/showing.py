"""What the page does when somebody shows a thing by boxes; it knows no web framework."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glipkit.errors import UserError
from glipkit.files import write_encoded
from glipkit.serve.learning import Learned, Lesson
from glipkit.serve.limits import Busy, Stopped
from glipkit.serve.page.actions import count, told
from glipkit.serve.page.files import gone
from glipkit.serve.page.marks import (
    MEANT,
    Marks,
    clicked,
    drawing,
    named,
    references,
    typed,
    undone,
)
from glipkit.serve.page.session import Picture, Session

START = ('Click on two opposite corners of the thing. Draw a box around every one in the picture: '
         'what has none is taken for something else. Boxes of look-alikes that are not meant help.')
CORNER = 'Now click on the opposite corner.'
#: Seconds between two messages of a lesson.
LOOK = .25


@dataclass(frozen=True, eq=False)
class Canvas:
    """What the page shows of the marks.

    Args:
        marks: The tab's marks from now on.
        picture: Name of the picture that is shown; None where there is none.
        file: The picture with its boxes.
        message: A sentence for the person.
        alarm: Whether it says that something did not work.
    """

    marks: Marks
    picture: str | None
    file: Path | None
    message: str
    alarm: bool = False


@dataclass(frozen=True, eq=False)
class Taught:
    """What a tab has learned.

    Args:
        learned: The task.
        file: Its file, in the tab's folder.
    """

    learned: Learned
    file: Path


@dataclass(frozen=True, eq=False)
class Step:
    """How far a lesson is.

    Args:
        message: A sentence for the person.
        alarm: Whether it says that something did not work.
        taught: With the last step of a lesson that went well.
    """

    message: str
    alarm: bool = False
    taught: Taught | None = None


class Showing:
    """The part of the page where things are shown, as functions of a tab's session and marks.

    Args:
        service: `glipkit.serve.service.Service`, or what answers as it does.
    """

    def __init__(self, service: Any) -> None:
        self.service, self._lessons = service, dict[Path, Lesson]()

    def canvas(self, session: Session | None, marks: Marks | None, picture: str | None,
               message: str = '', alarm: bool = False) -> Canvas:
        """A picture with its boxes; the first one where the tab has none of this name."""
        marks = marks or Marks()
        pictures = [] if session is None else session.pictures
        if session is None or not pictures:
            return Canvas(Marks(), None, None, 'Add a picture first.')
        one = next((one for one in pictures if one.name == picture), pictures[0])
        here = {one.name for one in pictures}
        marks = replace(marks, drawn=tuple(mark for mark in marks.drawn if mark.picture in here))
        try:
            return Canvas(marks, one.name, drawing(session, one, marks),
                          message or (CORNER if marks.corner else START), alarm)
        except UserError as error:
            return Canvas(marks, None, None, told(error), True)

    def click(self, session: Session | None, marks: Marks | None, picture: str | None,
              place: tuple[float, float], name: str, kind: str) -> Canvas:
        """A click on the picture; the second one makes a box."""
        return self._change(session, marks, picture,
                            lambda old, one: clicked(old, one, place, name, kind == MEANT))

    def type(self, session: Session | None, marks: Marks | None, picture: str | None, text: str,
             name: str, kind: str) -> Canvas:
        """A box in four numbers."""
        return self._change(session, marks, picture,
                            lambda old, one: typed(old, one, text, name, kind == MEANT))

    def undo(self, session: Session | None, marks: Marks | None, picture: str | None) -> Canvas:
        """Takes the last click or box back."""
        return self._change(session, marks, picture, lambda old, one: undone(old))

    def _change(self, session: Session | None, marks: Marks | None, picture: str | None,
                change: Callable[[Marks, Picture], Marks]) -> Canvas:
        marks = marks or Marks()
        one = None if session is None else next(
            (one for one in session.pictures if one.name == picture), None)
        if one is None:
            return self.canvas(session, marks, picture)
        try:
            new = change(marks, one)
        except UserError as error:
            return self.canvas(session, marks, picture, told(error), True)
        except FileNotFoundError:
            return self.canvas(session, marks, picture)  # which tells it
        boxes = count(len(new.drawn), 'box').replace('boxs', 'boxes')
        drawn = f'{boxes} so far. Draw more, also on other pictures, or press Learn it and find it.'
        return self.canvas(session, new, picture, '' if new.corner or not new.drawn else drawn)

    def name(self, session: Session | None, marks: Marks | None, picture: str | None,
             name: str) -> Canvas:
        """Gives the boxes their name, before they are learned; see `named`."""
        return self._change(session, marks, picture, lambda old, one: named(old, name))

    def learn(self, session: Session | None, marks: Marks | None, name: str) -> Iterator[Step]:
        """Learns everything that was drawn in a tab, together.

        Args:
            session: The tab's session.
            marks: What was drawn.
            name: What stands in the form as the thing's name.
        """
        learning = self.service.learning
        try:
            if session is None or not session.pictures:
                raise UserError('a picture', 'none', 'add one first')
            marks = named(marks or Marks(), name)
            things = ', '.join(marks.names())
            with learning.place():
                yield Step(f'Learning {things} …')
                lesson = learning.begin(references(session, marks, self.service.limits,
                                                   learning.limits.side))
                yield from self._follow(lesson, session.folder, things)
            learned = lesson.wait(0)
            file = session.folder / learned.file_name
            write_encoded(file, lambda stream: stream.write(learned.content))
        except (UserError, Busy) as error:
            yield Step(told(error), True)
        except Stopped:
            yield Step('Learning was stopped.')
        except FileNotFoundError:
            yield Step(told(gone()), True)
        else:
            yield Step(f'Learned {things} in {learned.seconds:.0f} s.', taught=Taught(learned,
                                                                                     file))

    def _follow(self, lesson: Lesson, tab: Path, things: str) -> Iterator[Step]:
        """How far a lesson is, until it is done; whoever does not wait any more ends it."""
        self._lessons[tab] = lesson
        try:
            while lesson.wait(LOOK) is None:
                yield Step(f'Learning {things}: {lesson.said} …')
        finally:
            lesson.stop()
            self._lessons.pop(tab, None)

    def stop(self, session: Session | None) -> None:
        """Ends what a tab is learning."""
        lesson = None if session is None else self._lessons.get(session.folder)
        if lesson is not None:
            lesson.stop()

    def still(self, taught: Taught | None) -> Taught | None:
        """What a tab has learned, while its folder is there; else it is forgotten."""
        if taught is not None and not taught.file.is_file():
            self.forget(taught)
            return None
        return taught

    def forget(self, taught: Taught | None) -> None:
        """Removes what a tab has learned."""
        if taught is not None:
            self.service.learning.forget(taught.learned.task)
