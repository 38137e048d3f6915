"""Which words name a video: a file, a stream, or a camera."""
from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

#: Endings of video files, in lower case.
VIDEO_SUFFIXES = ('.3gp', '.avi', '.flv', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg',
                  '.mts', '.ogv', '.ts', '.webm', '.wmv')
#: Protocols of streams; of the web's only addresses that end like a video, or with ``stream:``.
_STREAMS = ('rtsp', 'rtsps', 'rtmp', 'rtmps', 'srt')
_WEB = ('http', 'https')
_PLAYLISTS = ('.m3u8', '.mpd')
_PREFIX = 'stream:'


def is_video_file(path: Path) -> bool:
    """Whether a path ends like a video; the file is not opened."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith('._')


def camera_number(word: object) -> int | None:
    """The number of ``'camera:0'``; None for other words.

    >>> camera_number('camera:1'), camera_number('camera.jpg')
    (1, None)
    """
    found = re.fullmatch(r'camera:(\d{1,3})', word) if isinstance(word, str) else None
    return None if found is None else int(found[1])


def stream_address(word: object) -> str | None:
    """The address of a stream, without ``stream:``; None for other words.

    >>> stream_address('rtsp://camera/1'), stream_address('https://example.org/a.jpg')
    ('rtsp://camera/1', None)
    >>> stream_address('stream:http://camera/feed')
    'http://camera/feed'
    """
    if not isinstance(word, str):
        return None
    said = word.startswith(_PREFIX)
    address = word.removeprefix(_PREFIX)
    try:
        parts = urlsplit(address)
    except ValueError:  # of an address in brackets
        return None
    scheme = parts.scheme.lower()
    if scheme in _STREAMS and parts.netloc:
        return address
    ends = Path(parts.path).suffix.lower() in (*VIDEO_SUFFIXES, *_PLAYLISTS)
    return address if scheme in _WEB and parts.netloc and (said or ends) else None
