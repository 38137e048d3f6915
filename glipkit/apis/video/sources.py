"""Which of the words of a command line are videos, and what their results are called."""
from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from glipkit.common.video_names import camera_number, is_video_file, stream_address
from glipkit.version import __version__


def split_videos(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Words that name images, and videos: files, streams and cameras, in their order.

    A folder stands for its images; a pattern such as ``clips/*`` for images and videos.
    """
    images, videos = [], []
    for word in words:
        if camera_number(word) is not None or stream_address(word) is not None:
            videos.append(word)
        elif os.path.lexists(word) or not glob.has_magic(word):
            is_video = is_video_file(Path(word)) and not os.path.isdir(word)
            (videos if is_video else images).append(word)
        else:
            matches = sorted(glob.glob(os.path.expanduser(word), recursive=True))
            found = [one for one in matches if is_video_file(Path(one)) and not os.path.isdir(one)]
            videos += found
            if len(found) < len(matches) or not found:
                images.append(word)
    return images, videos


def unnamed_videos(words: Iterable[str]) -> int:
    """How many videos lie in folders that stand for their images alone."""
    return sum(is_video_file(Path(name)) for word in words if os.path.isdir(word)
               for _, _, names in os.walk(word) for name in names)


def is_live(source: str) -> bool:
    """Whether what a word names cannot be read twice: no file."""
    return camera_number(source) is not None or stream_address(source) is not None


def title_of(source: str) -> str:
    """The name of a video without its ending, for files of results.

    >>> title_of('clips/a.mp4'), title_of('camera:0'), title_of('rtsp://host:554/door 1')
    ('a', 'camera_0', 'host_554_door_1')
    """
    if not is_live(source):
        return Path(source).stem
    name = re.sub(r'^(stream:)?\w+://([^/@]*@)?', '', source)  # and no password in a file name
    return re.sub(r'[^\w.-]+', '_', name).strip('._')[:100] or 'stream'


def result_names(sources: Sequence[str]) -> list[str]:
    """A name for the results of each video; those of one name in two folders differ."""
    used: set[str] = set()
    names = []
    for title in map(title_of, sources):
        name, count = title, 1
        while name in used:
            count += 1
            name = f'{title}_{count}'
        used.add(name)
        names.append(name)
    return names


def identity_of(source: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Everything that the rows of a video depend on; None for what cannot be read twice.

    Args:
        source: The video.
        settings: Name -> value; of one that names a file, its size and time count too.
    """
    if is_live(source):
        return None
    values = {'video': os.path.abspath(source), **settings}
    return {'glipkit': __version__, **{name: [str(value), _stamp(value)]
                                       for name, value in values.items()}}


def _stamp(value: Any) -> list[int] | None:
    try:
        status = os.stat(value) if isinstance(value, (str, Path)) else None
    except (OSError, ValueError):
        return None
    return None if status is None else [status.st_size, status.st_mtime_ns]
