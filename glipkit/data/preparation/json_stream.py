"""Large annotation files, read without ever holding them whole."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from glipkit.common.reporter import Bar, bar
from glipkit.data.formats.reading import open_text
from glipkit.errors import UserError

_CHUNK = 1 << 20  # characters
_LONGEST = 1 << 28  # characters of one element; beyond it, the file is taken to be damaged
_BLANKS = ' \t\r\n'


def stream_json(path: str | Path, what: str,
                description: str | None = None) -> Iterator[tuple[str, Any]]:
    """Yields what stands in a JSON file, element by element.

    A COCO json of 25 million boxes takes some 20 GB as Python objects; most sources need only one
    record at a time, or a few numbers of each.

    Args:
        path: The file. Its top level is an object or a list.
        what: Its kind, for the error ('a COCO json').
        description: Title of the bar; None shows none.

    Yields:
        For an object ``(key, element)`` per element of every list in it and ``(key, value)`` per
        other value, in the order of the file; an empty list yields nothing. For a list
        ``('', element)``.

    Raises:
        UserError: The file cannot be read, is not JSON, or ends too early.
    """
    with open_text(path, what) as file, _bar(path, description) as shown:
        reader = _Reader(file, path, what, shown)
        opening = reader.peek()
        if opening == '[':
            yield from (('', element) for element in reader.elements())
        elif opening == '{':
            for key in reader.members():
                if reader.peek() == '[':
                    for element in reader.elements():
                        yield key, element
                else:
                    yield key, reader.value()
        else:
            raise reader.error('neither an object nor a list')
        if reader.peek():
            raise reader.error('something after the end')


def stream_lines(path: str | Path, what: str,
                 description: str | None = None) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, line without its end) of a UTF-8 text file.

    Args: as `stream_json`.

    Raises:
        UserError: The file cannot be read, or is not UTF-8.
    """
    number = 0
    with open_text(path, what) as file, _bar(path, description) as shown:
        try:
            for number, line in enumerate(file, start=1):
                shown.update(len(line))
                yield number, line.rstrip('\r\n')
        except UnicodeDecodeError as error:
            raise UserError(f'{what} in UTF-8', f'{path}, after line {number}: {error}',
                            'save the file as UTF-8') from error


def _bar(path: str | Path, description: str | None) -> Bar:
    if description is None:
        return Bar()
    # Counts characters against bytes: equal but for the few that are not ASCII.
    return bar(description, os.stat(path).st_size, 'B', scale=True)


class _Reader:
    """The text of a file through a window, and Python's own decoder on it."""

    def __init__(self, file: TextIO, path: str | Path, what: str, bar: Bar) -> None:
        self._file, self._path, self._what, self._bar = file, path, what, bar
        self._text, self._at, self._before, self._ended = '', 0, 0, False
        self._decode = json.JSONDecoder().raw_decode

    def elements(self) -> Iterator[Any]:
        """Elements of the list that begins here; reads its ']' as well."""
        more = self._is_filled(']')
        while more:
            yield self.value()
            more = not self._is_last(']')

    def members(self) -> Iterator[str]:
        """Keys of the object that begins here; the caller reads each value in between."""
        more = self._is_filled('}')
        while more:
            key = self.value()
            if not isinstance(key, str) or self.peek() != ':':
                raise self.error('no key and colon')
            self._at += 1
            yield key
            more = not self._is_last('}')

    def _is_filled(self, end: str) -> bool:
        """Whether anything stands in what begins here; reads the end of what is empty."""
        self.next_character()
        if self.peek() != end:
            return True
        self.next_character()
        return False

    def value(self) -> Any:
        """The next value, of any kind."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._may_be_cut(error):
                    open_string = error.msg.startswith('Unterminated string')
                    self._at = len(self._text) if self._ended and open_string else error.pos
                    raise self.error(error.msg) from error
            except RecursionError as error:
                raise self.error('too many levels') from error
            else:
                # A number at the end of the window may continue behind it, and its '.', 'e' or 'e-'
                # may already stand there, unread.
                if end + 2 < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._extend()

    def peek(self) -> str:
        """The next character that is no blank; '' at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANKS:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ''
            self._extend()

    def next_character(self) -> str:
        """Reads what `peek` returns."""
        character = self.peek()
        self._at += len(character)
        return character

    def error(self, message: str) -> UserError:
        """An error that names the place where the reader stands."""
        if self._ended and self._at >= len(self._text):
            message = 'the file is cut off'
        return UserError(self._what, f'{self._path}, character {self._before + self._at}: '
                         f'{message}', 'repair the file or copy it again')

    def _is_last(self, closing: str) -> bool:
        character = self.peek()
        if character not in (',', closing):
            raise self.error(f'no comma and no {closing!r}')
        self._at += 1
        return character == closing

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the decoder failed only because the window ends there.

        Strings are reported at their beginning, which may be far; all else ends within the length
        of an escaped character pair.
        """
        near = error.pos >= len(self._text) - 16 or error.msg.startswith('Unterminated string')
        return near and not self._ended and len(self._text) - self._at < _LONGEST

    def _extend(self) -> None:
        """Drops the text that was read, and reads at least as much as is left."""
        rest = self._text[self._at:]
        try:
            more = self._file.read(max(_CHUNK, len(rest)))
        except UnicodeDecodeError as error:
            raise self.error(f'not UTF-8 ({error.reason})') from error
        self._before += self._at
        self._text, self._at, self._ended = rest + more, 0, not more
        self._bar.update(len(more))
