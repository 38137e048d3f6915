"""A reporter that remembers what it was told, for tests."""
from __future__ import annotations

from glipkit.common.reporter import Bar, Reporter


class RecordedBar(Bar):
    """A bar with what happened to it."""

    def __init__(self, owner: Recorder, title: str, total: int | None, unit: str,
                 done: int) -> None:
        super().__init__(done)
        self.owner, self.title, self.total, self.unit, self.begun = owner, title, total, unit, done
        self.moves: list[int] = []
        self.values: dict = {}
        self.closed = False

    def update(self, units: int = 1) -> None:
        super().update(units)
        self.moves.append(units)
        self.owner.moved(self)

    def show(self, **values) -> None:
        self.values = values

    def close(self) -> None:
        self.closed = True


class Recorder(Reporter):
    """Remembers notes and bars."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.bars: list[RecordedBar] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def bar(self, title: str, total: int | None = None, unit: str = 'item', done: int = 0,
            scale: bool = False) -> RecordedBar:
        self.bars.append(RecordedBar(self, title, total, unit, done))
        return self.bars[-1]

    def moved(self, bar: RecordedBar) -> None:
        """Called after every move of a bar."""
