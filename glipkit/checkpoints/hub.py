"""Checkpoint names: a path on this machine, or a file on the Hugging Face hub."""
from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from glipkit.errors import UserError
from glipkit.files import refuse_address

#: Seconds to wait for the hub's first answer; its own client repeats for half a minute.
PATIENCE = 5
#: Owners and repositories begin with a letter or a digit; files that nothing else marks as the
#: hub's have an ending.
_NAME = r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*'
_HUB = re.compile(rf'hf:(?P<a>{_NAME})/(?P<file>.+)|(?P<b>{_NAME}):(?P<tail>[^:]+\.\w+)')


def resolve(name: str | Path) -> Path:
    """The local path of a checkpoint, downloaded first when it is on the hub.

    Args:
        name: A path, ``hf:owner/repository/file`` or ``owner/repository:file.ending``.

    Raises:
        UserError: When there is no such file here, or the hub cannot give it.
    """
    text = str(name)
    if Path(text).exists():
        return Path(text)
    refuse_address(text)
    found = _HUB.fullmatch(text)
    # A colon in a path is no question to the hub: the folder is here.
    if found is None or found['b'] and Path(found['b'].partition('/')[0]).is_dir():
        raise UserError('a checkpoint file', f'no such file at {text}',
                        'check the path, or name a hub file as hf:owner/repository/file')
    return _download(found['a'] or found['b'], found['file'] or found['tail'])


def _download(repository: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError('the package huggingface_hub for names on the hub', 'none installed',
                        'pip install huggingface_hub') from error
    if sys.stderr is None or not sys.stderr.isatty():  # a bar is no text for files and pipes
        from huggingface_hub.utils import disable_progress_bars
        disable_progress_bars()
    broken = _no_connection()
    try:
        return Path(hf_hub_download(repository, file, local_files_only=broken is not None))
    except Exception as error:  # the hub's errors and those of whatever HTTP client it uses
        lines = str(error).strip().splitlines()
        reason = broken or (f'{type(error).__name__}: {lines[0]}' if lines
                            else type(error).__name__)
        raise UserError(f'{file} of {repository} from the hub', reason,
                        'check the name and the network, or pass a file on this machine') from error


def _no_connection() -> str | None:
    """What is wrong with the way to the hub; None where nothing is, or a proxy knows it."""
    from huggingface_hub import constants
    address = urlsplit(constants.ENDPOINT)
    proxies = {'http', 'https', 'all'} & getproxies().keys()
    if constants.HF_HUB_OFFLINE or proxies or address.hostname is None:
        return None
    port = address.port or (80 if address.scheme == 'http' else 443)
    try:
        socket.create_connection((address.hostname, port), PATIENCE).close()
    except OSError as error:
        return f'no connection to {address.hostname} ({error.strerror or error})'
    return None
