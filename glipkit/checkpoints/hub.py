"""Checkpoint names: a path on this machine, or a file on the Hugging Face hub."""
from __future__ import annotations

import re
import sys
from pathlib import Path

from glipkit.checkpoints.download import FetchError, ask, first_line
from glipkit.errors import UserError

#: Owners and repositories begin with a letter or a digit.
_NAME = r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*'
_HUB = re.compile(rf'hf:(?P<a>{_NAME})/(?P<file>.+)|(?P<b>{_NAME}):(?P<tail>[^:]+)')


def resolve(name: str | Path) -> Path:
    """The local path of a checkpoint, downloaded first when it is on the hub.

    Args:
        name: A path, ``hf:owner/repository/file`` or ``owner/repository:file``.

    Raises:
        UserError: When there is no such file here, or the hub cannot give it.
    """
    text = str(name)
    if Path(text).exists():
        return Path(text)
    if re.match(r'https?://', text):
        raise UserError('a path or a hub name', text, f'download it first, e.g. `curl -LO {text}`')
    found = _HUB.fullmatch(text)
    # A colon in a path is no question to the hub: the folder is here.
    if found is None or found['b'] and Path(found['b'].partition('/')[0]).is_dir():
        raise UserError('a checkpoint file', f'no such file at {text}',
                        'check the path, or name a hub file as hf:owner/repository/file')
    return _download(found['a'] or found['b'], found['file'] or found['tail'])


def _download(repository: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
    except ImportError as error:
        raise UserError('the package huggingface_hub for names on the hub', 'none installed',
                        'pip install huggingface_hub') from error
    if sys.stderr is None or not sys.stderr.isatty():  # a bar is no text for files and pipes
        from huggingface_hub.utils import disable_progress_bars
        disable_progress_bars()
    try:
        ask(repository, file)  # which ends sooner than the library's own attempts
    except FetchError as failure:
        cached = try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
        if failure.kind == 'no network':
            raise _not_had(repository, file, failure.reason) from failure
    try:
        return Path(hf_hub_download(repository, file))
    except Exception as error:  # the hub's errors and those of whatever HTTP client it uses
        raise _not_had(repository, file, first_line(error)) from error


def _not_had(repository: str, file: str, reason: str) -> UserError:
    return UserError(f'{file} of {repository} from the hub', reason,
                     'check the name and the network, or pass a file on this machine')
