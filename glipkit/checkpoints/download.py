"""One file of the Hugging Face hub, fetched so that a broken transfer can go on and a wrong one is
noticed.

The hub library answers for places, names and passwords (HF_ENDPOINT, HF_TOKEN, proxies). It begins
a broken download anew, and where there is no network it may ask again for minutes; here the file
that was begun is kept, and the first question ends after seconds.
"""
from __future__ import annotations

import logging
import os
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from glipkit.common.digests import file_sha256
from glipkit.common.reporter import Bar
from glipkit.errors import UserError
from glipkit.files import no_room

#: Seconds in which the hub has to answer, unless HF_HUB_ETAG_TIMEOUT says otherwise.
ANSWER_WITHIN = 5.
_SHA256 = re.compile('[0-9a-f]{64}')

Value = TypeVar('Value')
Kind = Literal['no network', 'refused', 'broken', 'wrong']


class FetchError(Exception):
    """Why a file could not be had.

    Args:
        kind: ``'no network'``: nobody answered; ``'refused'``: the hub has no such file for us;
            ``'broken'``: the transfer ended early, what came is kept; ``'wrong'``: another size or
            digest than was promised, nothing is kept.
        reason: The same for a reader, in one line.
    """

    def __init__(self, kind: Kind, reason: str) -> None:
        self.kind, self.reason = kind, reason
        super().__init__(reason)


@dataclass(frozen=True)
class Offer:
    """What the hub says of a file.

    Args:
        url: Address of the file.
        etag: Mark of its content.
        size: Bytes; None where the hub does not say.
        sha256: Digest of the content; empty where the hub does not say (only for small files).
        commit: Version of the repository.
    """

    url: str
    etag: str
    size: int | None
    sha256: str
    commit: str


def ask(repository: str, file: str) -> Offer:
    """Asks the hub for a file, once, within `ANSWER_WITHIN` seconds.

    Args:
        repository: ``owner/name``.
        file: Path in the repository.

    Raises:
        FetchError: No network, offline by HF_HUB_OFFLINE, or no such file.
        UserError: The package huggingface_hub is missing.
    """
    hub = _library()
    if is_offline():
        raise FetchError('no network', 'HF_HUB_OFFLINE is set')
    url = hub.hf_hub_url(repository, file, endpoint=endpoint())
    seconds = ANSWER_WITHIN
    if os.environ.get('HF_HUB_ETAG_TIMEOUT'):
        seconds = float(hub.constants.HF_HUB_ETAG_TIMEOUT)
    try:
        with quiet():
            found = _within(seconds, lambda: hub.get_hf_file_metadata(url, timeout=seconds))
    except Exception as error:  # the hub's errors, and those of whatever HTTP client it uses
        answered = getattr(error, 'response', None) is not None
        raise FetchError('refused' if answered else 'no network', first_line(error)) from error
    if found.commit_hash is None or found.etag is None:
        raise FetchError('refused', f'what answers at {url} is not the hub')
    sha256 = found.etag if _SHA256.fullmatch(found.etag) else ''
    return Offer(url, found.etag, found.size, sha256, found.commit_hash)


def download(offer: Offer, part: Path, bar: Callable[[int], Bar]) -> str:
    """Fetches a file, from where an earlier call ended.

    Args:
        offer: From :func:`ask`.
        part: File that grows. It is left when the transfer breaks, and removed when its content
            turns out wrong.
        bar: Makes a bar of bytes, of which the argument is done.

    Returns:
        The digest of the file, which is whole.

    Raises:
        FetchError: The transfer broke, or brought something else.
        UserError: No room on the disk. What came is left.
    """
    done = _size(part)
    if offer.size is not None and done > offer.size:
        part.unlink()
        done = 0
    if not done or done != offer.size:
        with bar(done) as shown:
            _transfer_all(offer, part, shown)
    size = part.stat().st_size
    if offer.size is not None and size != offer.size:
        part.unlink()
        raise FetchError('wrong', f'it has {size} bytes where the hub promised {offer.size}')
    digest = file_sha256(part)
    if offer.sha256 and digest != offer.sha256:
        part.unlink()
        raise FetchError('wrong', f'its sha256 is {digest[:12]}... where the hub promised '
                                  f'{offer.sha256[:12]}...')
    return digest


def endpoint() -> str | None:
    """Where the user has said that the hub is; None for its own address."""
    return os.environ.get('HF_ENDPOINT', '').rstrip('/') or None


def is_offline() -> bool:
    """Whether the user has forbidden to ask the hub."""
    value = os.environ.get('HF_HUB_OFFLINE', '')
    return value.upper() in ('1', 'ON', 'YES', 'TRUE') or _library().constants.HF_HUB_OFFLINE


def first_line(error: BaseException) -> str:
    """Type and first line of an error of the hub or of its HTTP client."""
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0].strip()}' if lines else type(error).__name__


class _Counted:
    """A binary file that tells a bar what is written to it."""

    def __init__(self, file: BinaryIO, bar: Bar) -> None:
        self._file, self._bar = file, bar
        self.seek, self.tell, self.truncate = file.seek, file.tell, file.truncate

    def write(self, data: bytes) -> int:
        self._bar.update(len(data))
        return self._file.write(data)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _transfer_all(offer: Offer, part: Path, bar: Bar) -> None:
    """Transfers until the file is whole, or an attempt brings nothing more."""
    while True:
        before = _size(part)
        try:
            return _transfer(offer, part, before, bar)
        except FetchError as failure:
            anew = before and not part.exists()  # the server would not go on from there
            if not anew and (failure.kind != 'broken' or _size(part) <= before):
                raise


def _transfer(offer: Offer, part: Path, done: int, bar: Bar) -> None:
    hub = _library()
    from huggingface_hub.utils import build_hf_headers

    # Compressed on its way, a file could not go on from a byte.
    headers = {**build_hf_headers(), 'Accept-Encoding': 'identity'}
    try:
        with quiet(), part.open('r+b' if done else 'wb') as file:
            file.seek(done)
            hub.file_download.http_get(offer.url, _Counted(file, bar), resume_size=done,
                                       headers=headers, expected_size=offer.size)
    except Exception as error:
        full = no_room(error)
        if full is not None:
            raise UserError('a disk with room for the download',
                            f'{part.parent} ({full.strerror})', _what_stays(part)) from error
        answer = getattr(error, 'response', None)
        if answer is not None:
            if answer.status_code == 416:  # it will not go on from here
                part.unlink(missing_ok=True)
            raise FetchError('refused', first_line(error)) from error
        if 'onsistency check failed' in str(error):  # it ended in good order, with another size
            part.unlink(missing_ok=True)
            raise FetchError('wrong', f'its size is not the {offer.size} bytes that the hub '
                                      'promised') from error
        raise FetchError('broken', f'{first_line(error)}, after {part.stat().st_size} of '
                                   f'{offer.size} bytes') from error


def _what_stays(part: Path) -> str:
    return (f'free some space and repeat: the {part.stat().st_size} bytes that came stay in {part} '
            'until then')


def _within(seconds: float, call: Callable[[], Value]) -> Value:
    """The value of a call that may hang, e.g. where names are not resolved."""
    answers: queue.SimpleQueue[tuple[bool, object]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((True, call()))
        except BaseException as error:
            answers.put((False, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        succeeded, value = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f'no answer within {seconds:.0f} s (HF_HUB_ETAG_TIMEOUT)') from None
    if not succeeded:
        raise value
    return value


def _library():
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.file_download
    except ImportError as error:
        raise UserError('the package huggingface_hub for names on the hub', 'none installed',
                        'pip install huggingface_hub') from error
    return huggingface_hub


@contextmanager
def quiet() -> Iterator[None]:
    """Inside the block the hub library shows no bar, and warns of nothing: we say what happens."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    logger, silent = logging.getLogger('huggingface_hub'), are_progress_bars_disabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if not silent:
            enable_progress_bars()
