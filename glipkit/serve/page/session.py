"""What one open tab of the page knows: its pictures, what was asked and what was found."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glipkit.apis.detections import Detections, open_picture
from glipkit.errors import UserError
from glipkit.files import write_encoded
from glipkit.serve.page.files import PageFolder, gone, new_result, write_downloads
from glipkit.serve.page.words import as_classes, split_groups, split_words
from glipkit.serve.service import Busy, Limits, TimedOut
from glipkit.serve.uploads import open_image
from glipkit.text.query import Query

#: Lowest score that is asked for; the slider begins here, and redraws what is kept.
FLOOR = 0.05
#: Pictures of one tab.
PICTURES = 20
#: Longer side of what the browser shows, in pixels.
SHOWN_SIDE = 1280
#: Longest list of names below a picture, in characters; the table has all of them.
LINE = 50
#: Columns of the table.
COLUMNS = ('picture', 'name', 'score', 'left px', 'top px', 'right px', 'bottom px')
WORDS, SENTENCE, TASK = 'Words', 'Sentence', 'Task'


@dataclass(frozen=True)
class Cut:
    """What of an answer is shown.

    Args:
        score: Lowest score.
        own: Whether classes of a calibrated task have their own instead.
    """

    score: float
    own: bool = True


@dataclass(frozen=True)
class Asked:
    """What is looked for in all pictures of a tab: the words of `Service.predict`."""

    classes: tuple[str, ...] | Query | None = None
    caption: str | None = None
    task: str | None = None
    model: str | None = None
    negative_classes: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a tab.

    Args:
        name: Its file's name, different from all others of the tab.
        file: As it was uploaded.
        small: What the browser shows, upright.
        size: Width and height of the upright file.
        found: Everything above `FLOOR`, in pixels of the upright file; None when nothing was asked.
        asked: What `found` answers.
    """

    name: str
    file: Path
    small: Path
    size: tuple[int, int]
    found: Detections | None = None
    asked: Asked | None = None


@dataclass(frozen=True, eq=False)
class Session:
    """The pictures of a tab; it never changes, so what runs at once cannot disturb each other.

    Args:
        folder: The tab's own folder.
        pictures: In the order in which they came.
        cut: What the last answer was shown with.
        own: Class name -> its own threshold, of the answers of a calibrated task.
    """

    folder: Path
    pictures: tuple[Picture, ...] = ()
    cut: Cut | None = None
    own: Mapping[str, float] | None = None

    def answered(self) -> list[Picture]:
        """The pictures that have an answer."""
        return [picture for picture in self.pictures if picture.found is not None]

    def shown(self, found: Detections, cut: Cut) -> np.ndarray:
        """Which of a picture's detections are shown, (N,) bool."""
        if not cut.own or self.own is None:
            return found.scores >= cut.score
        lowest = np.array([self.own.get(name, cut.score) for name in found.classes], np.float32)
        return found.scores >= lowest[found.labels]


@dataclass(frozen=True, eq=False)
class View:
    """What the page shows of a session.

    Args:
        pictures: (file, text) of each picture, drawn where there is an answer.
        rows: Rows of the table, see `COLUMNS`.
        downloads: Format -> file; empty before the first answer.
    """

    pictures: list[tuple[Path, str]]
    rows: list[list[Any]]
    downloads: dict[str, Path]


def what_is_asked(mode: str, words: str, sentence: str, task: str | None,
                  model: str | None = None, never: str = '', groups: str = '',
                  learned: tuple[str, Sequence[str]] | None = None) -> Asked:
    """The question of a form that was filled in.

    Args:
        mode: `WORDS`, `SENTENCE` or `TASK`.
        words: What to look for, see `split_words` and `as_classes`.
        sentence: The caption.
        task: Name of a task.
        model: Name of the model.
        never: Words that must not be found.
        groups: Words of which one thing has one, a group on each line.
        learned: Name of the task of what the person has shown, and those of its names that are
            looked for beside the words.

    Raises:
        UserError: What the chosen way needs is empty, or a word that would mean two things.
    """
    if mode == TASK:
        if not task:
            raise UserError('a task', 'none', 'choose a task first')
        return Asked(task=task, model=model)
    if mode == SENTENCE:
        if not (sentence or '').strip():
            raise UserError('a sentence', 'an empty one', 'type a sentence that names what to look '
                            'for, such as: a red circle beside a blue star')
        return Asked(caption=sentence.strip(), model=model)
    shown = tuple(learned[1]) if learned else ()
    listed = split_words(words)
    if not listed and not shown:
        raise UserError('words', 'none', 'type what to look for, with commas between, such as: '
                        'red circle, blue star')
    return Asked(as_classes(listed, shown), model=model, negative_classes=split_words(never),
                 task=learned[0] if learned and shown else None, exclusive=split_groups(groups))


def add_pictures(session: Session | None, uploads: Sequence[str | Path], folder: PageFolder,
                 limits: Limits) -> tuple[Session, dict[str, UserError]]:
    """A session with more pictures, and name -> why it could not be added.

    Args:
        session: The session so far; None for a new tab.
        uploads: Files in the page's folder.
        folder: The page's folder.
        limits: Size of a picture.
    """
    if session is None or not session.folder.is_dir():
        session = Session(folder.new_session())
    refused: dict[str, UserError] = {}
    for upload in uploads:
        try:
            session = _with_picture(session, Path(upload), folder, limits)
        except UserError as error:
            refused[Path(upload).name] = error
    return session, refused


def _with_picture(session: Session, upload: Path, folder: PageFolder, limits: Limits) -> Session:
    if len(session.pictures) >= PICTURES:
        raise UserError(f'at most {PICTURES} pictures', 'one more',
                        f'start over, or use the command line for more than {PICTURES} pictures')
    name = _free_name(upload.name, {picture.name for picture in session.pictures})
    number = len(session.pictures)
    file = folder.take(upload, session.folder, f'{number}-file')
    try:
        with file.open('rb') as stream:
            # The whole file, now: that it is cut off shall not be found out by the first question.
            scene = open_picture(open_image(stream, limits, 'this file'))
    except UserError:
        file.unlink(missing_ok=True)
        raise
    size = scene.size
    scene.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    small = session.folder / f'{number}.jpg'
    write_encoded(small, lambda stream: scene.save(stream, 'JPEG', quality=90))
    return replace(session, pictures=(*session.pictures, Picture(name, file, small, size)))


def ask(session: Session, asked: Asked, service: Any) -> Iterator[tuple[Session, Exception | None]]:
    """Asks the model about every picture that has no answer to this question yet.

    Args:
        session: The session.
        asked: The question.
        service: `Service`, or what predicts as it does.

    Yields:
        The session after each picture, and the error where one could not be answered. The first
        `Busy` or `TimedOut` is the last: who waits shall not wait for all pictures in turn.
    """
    try:
        own = service.thresholds_of(asked.task)
    except UserError as error:
        yield session, error
        return
    floor = min([FLOOR, *(own or {}).values()])
    session = replace(session, own=own)
    # An answer to another question is not shown as one to this.
    session = replace(session, pictures=tuple(
        picture if picture.asked == asked else replace(picture, found=None, asked=None)
        for picture in session.pictures))
    for number, picture in enumerate(session.pictures):
        if picture.asked == asked:
            continue
        try:
            found = _answer(picture, asked, service, floor)
        except (UserError, Busy, TimedOut) as error:
            yield session, error
            if not isinstance(error, UserError):
                return
            continue
        pictures = list(session.pictures)
        pictures[number] = replace(picture, found=found, asked=asked)
        session = replace(session, pictures=tuple(pictures))
        yield session, None


def _answer(picture: Picture, asked: Asked, service: Any, floor: float) -> Detections:
    try:
        stream = picture.file.open('rb')
    except FileNotFoundError as error:
        raise gone() from error
    with stream:
        found = service.predict(
            open_image(stream, service.limits, picture.name), classes=asked.classes,
            caption=asked.caption, task=asked.task, model=asked.model, score_threshold=floor,
            negative_classes=asked.negative_classes, exclusive=asked.exclusive)
    # The pixels would stay in memory for as long as the tab is open.
    return replace(found, image=None, path=None)


def view(session: Session | None, cut: Cut) -> View:
    """What is shown of what was found; the model is not asked.

    Args:
        session: The session; None before the first picture.
        cut: What is shown.

    Raises:
        UserError: The files of the session are gone.
    """
    if session is None or not session.pictures:
        return View([], [], {})
    answered = session.answered()
    if not answered:
        return View([(picture.small, picture.name) for picture in session.pictures], [], {})
    folder = new_result(session.folder)
    shown = {picture.name: picture.found[session.shown(picture.found, cut)]
             for picture in answered}
    pictures, rows = [], []
    for number, picture in enumerate(session.pictures):
        found = shown.get(picture.name)
        if found is None:
            pictures.append((picture.small, picture.name))
            continue
        rows += [[picture.name, one.name, round(one.score, 2), *(round(float(x), 1)
                                                               for x in one.box)] for one in found]
        file = folder / f'{number}-{Path(picture.name).stem}.jpg'
        scene = drawn(picture, found)
        write_encoded(file, lambda stream, scene=scene: scene.save(stream, 'JPEG', quality=90))
        pictures.append((file, f'{picture.name}: {in_words(found)}'))
    files = write_downloads(list(shown.values()), list(shown), folder)
    return View(pictures, rows, files)


def drawn(picture: Picture, found: Detections) -> Image.Image:
    """The small picture with boxes, names and scores."""
    scene = Image.open(picture.small)
    height, width = found.size
    scale = np.array([scene.width / width, scene.height / height] * 2, np.float32)
    return replace(found, boxes=found.boxes * scale).plot(scene)


def in_words(found: Detections) -> str:
    """What was found, in a line below the picture: '2 red circle, 1 blue star', or '9 things'."""
    names = found.names
    counts = {name: names.count(name) for name in found.classes if name in names}
    line = ', '.join(f'{count} {name}' for name, count in counts.items())
    return (line if len(line) <= LINE else f'{len(found)} things') or 'nothing found'


def best_below(session: Session, cut: Cut) -> tuple[float, str] | None:
    """Score and name of the best thing that is not shown; None where everything is."""
    hidden = [(score, name) for picture in session.answered()
              for _, score, _, name in picture.found[~session.shown(picture.found, cut)]]
    return max(hidden, default=None)


def _free_name(name: str, taken: set[str]) -> str:
    """The name, with a number where another picture has it."""
    path, count, free = Path(name), 1, name
    while free in taken:
        count += 1
        free = f'{path.stem} ({count}){path.suffix}'
    return free


