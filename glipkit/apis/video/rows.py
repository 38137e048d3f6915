"""Detections of a video as lines of JSON, one for each frame that was asked, as they are made.

A row is written in one piece, so a killed run leaves whole rows. Beside an unfinished file lies a
hidden one that says what was asked: the same question again takes these rows for answered, and
another one begins anew.
"""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.detections import Detections
from glipkit.apis.video.reading import VideoFrame
from glipkit.apis.video.watching import Ask
from glipkit.errors import UserError
from glipkit.files import cannot_write, check_file, make_folder, write_text

#: Digits of boxes, in pixels, and of scores.
BOX_DIGITS, SCORE_DIGITS = 2, 5


class Rows:
    """The rows of one video.

    Args:
        path: File of the rows.
        identity: Everything that they depend on, for JSON; None for what cannot be repeated.
        names: Strings that labels stand for.

    Attributes:
        old: Rows of an earlier start.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any] | None,
                 names: Sequence[str]) -> None:
        self.path, self._names = path, tuple(names)
        self._begun = path.with_name(f'.{path.name}.begun')
        self._identity = None if identity is None else json.dumps(identity, sort_keys=True)
        self._written, self._end = -1, 0
        self._known = self._read_known()
        self._file = None
        self.old = 0

    def _read_known(self) -> Iterator[dict[str, Any]]:
        """Rows that the same question has had before; each is read when its frame comes."""
        try:
            same = self._identity is not None and self._begun.read_text() == self._identity
        except (OSError, ValueError):
            return
        if not same or not self.path.is_file():
            return
        with self.path.open('rb') as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    return
                if not line.endswith(b'\n') or not isinstance(row, dict) or 'frame' not in row:
                    return
                self._end += len(line)
                yield row

    def __enter__(self) -> Rows:
        check_file(self.path)
        return self

    def asking(self, ask: Ask) -> Ask:
        """The same question, which is not asked again for frames that have their rows.

        Answers are rounded as rows are, so that a run that was broken off ends as one that was not.
        """

        def answer(frames: Sequence[VideoFrame]) -> list[Detections]:
            found = [self._known_of(frame) for frame in frames]
            new = iter(ask([frame for frame, one in zip(frames, found) if one is None])
                       if None in found else ())
            return [rounded(next(new)) if one is None else one for one in found]

        return answer

    def _known_of(self, frame: VideoFrame) -> Detections | None:
        row = next(self._known, None)
        if row is None:
            return None
        if row['frame'] != frame.index:
            raise UserError(f'rows of this video in {self.path}', f'frame {row["frame"]} where '
                            f'frame {frame.index} comes', 'remove the file')
        self._written = frame.index
        self.old += 1
        things = row['detections']
        return Detections(
            boxes=np.float32([one['box_xyxy_px'] for one in things]).reshape(-1, 4),
            scores=np.float32([one['score'] for one in things]),
            labels=np.array([one['label'] for one in things], np.int64), classes=self._names,
            size=frame.image.shape[:2], image_id=frame.index)

    def add(self, frame: VideoFrame, found: Detections) -> None:
        """Writes the row of one frame, unless it is there.

        Raises:
            UserError: Nothing can be written there.
        """
        if frame.index <= self._written:
            return
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write((json.dumps(row_of(frame, found), ensure_ascii=False) + '\n')
                             .encode(errors='backslashreplace'))
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _open(self) -> Any:
        make_folder(self.path.parent)
        if self._identity is not None:
            write_text(self._begun, self._identity)
        file = self.path.open('r+b' if self.old else 'wb', buffering=0)
        file.truncate(self._end)
        file.seek(self._end)
        return file

    def finish(self) -> None:
        """Marks the rows as complete: the same question is asked anew after this."""
        self._begun.unlink(missing_ok=True)

    def __exit__(self, *_: object) -> None:
        self._known.close()
        if self._file is not None:
            self._file.close()


def rounded(found: Detections) -> Detections:
    """Detections with as many digits as rows have."""
    return replace(found, boxes=found.boxes.astype(float).round(BOX_DIGITS).astype(np.float32),
                   scores=found.scores.astype(float).round(SCORE_DIGITS).astype(np.float32))


def row_of(frame: VideoFrame, found: Detections) -> dict[str, Any]:
    """The row of a frame; things have their ``track`` where there are any, None without a number.
    """
    things = [{'box_xyxy_px': [round(float(value), BOX_DIGITS) for value in box],
               'score': round(score, SCORE_DIGITS), 'label': label, 'name': name}
              for box, score, label, name in found]
    if found.tracks is not None:
        things = [{**one, 'track': int(track) if track >= 0 else None}
                  for one, track in zip(things, found.tracks)]
    return {'frame': frame.index, 'time_s': round(frame.time, 4), 'detections': things}
