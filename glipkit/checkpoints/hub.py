"""Names of weights and tasks: a path on this machine, or a file on the Hugging Face hub."""
from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from glipkit.checkpoints.download import endpoint
from glipkit.errors import UserError
from glipkit.files import refuse_address

#: Seconds to wait for the hub's first answer; its own client repeats for half a minute.
PATIENCE = 5
#: Owners and repositories begin with a letter or a digit; files that nothing else marks as the
#: hub's have an ending.
_NAME = r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*'
_HUB = re.compile(rf'hf:(?P<a>{_NAME})/(?P<file>.+)|(?P<b>{_NAME}):(?P<tail>[^:]+\.\w+)')
_WHOLE = re.compile(rf'(?P<hf>hf:)?(?P<repository>{_NAME})')
#: A name that ends like these is that of a file.
_ENDINGS = ('.safetensors', '.pth', '.pt', '.ckpt', '.bin', '.pkl', '.py', '.json', '.onnx')
#: The files of a repository that ``glipkit push`` wrote.
WEIGHTS, TASK = 'model.safetensors', 'task.safetensors'


def resolve(name: str | Path, file: str = WEIGHTS) -> Path:
    """The local path of a checkpoint or task, downloaded first when it is on the hub.

    Args:
        name: A path, ``hf:owner/repository/file``, ``owner/repository:file.ending``, or
            ``owner/repository`` alone.
        file: What is taken of a repository that is named alone, or of a folder with its files.

    Raises:
        UserError: When there is no such file here, or the hub cannot give it.
    """
    text = str(name)
    if Path(text).exists():
        inside = Path(text) / file
        return inside if inside.is_file() else Path(text)
    refuse_address(text)
    wanted = hub_file(text, file)
    if wanted is None:
        raise UserError('a checkpoint file', f'no such file at {text}',
                        'check the path, or name a hub file as hf:owner/repository/file')
    return _download(*wanted)


def hub_file(name: str, file: str = WEIGHTS) -> tuple[str, str] | None:
    """Repository and file that a name stands for on the hub; None for the name of a local file.

    Args:
        name: As for :func:`resolve`.
        file: As for :func:`resolve`.
    """
    found = _HUB.fullmatch(name)
    if found is not None:
        repository, file = found['a'] or found['b'], found['file'] or found['tail']
        named = found['a'] is not None
    else:
        found = _WHOLE.fullmatch(name)
        if found is None or name.endswith(_ENDINGS):
            return None
        repository, named = found['repository'], found['hf'] is not None
    # Below a folder that is here, a name is that of a file, with a colon or without.
    if not named and Path(repository.partition('/')[0]).is_dir():
        return None
    return repository, file


def _download(repository: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError('the package huggingface_hub for names on the hub', 'none installed',
                        'pip install huggingface_hub') from error
    if sys.stderr is None or not sys.stderr.isatty():  # a bar is no text for files and pipes
        from huggingface_hub.utils import disable_progress_bars
        disable_progress_bars()
    broken = no_connection()
    try:
        return Path(hf_hub_download(repository, file, endpoint=endpoint(),
                                    local_files_only=broken is not None))
    except Exception as error:  # the hub's errors and those of whatever HTTP client it uses
        lines = str(error).strip().splitlines()
        reason = broken or (f'{type(error).__name__}: {lines[0]}' if lines
                            else type(error).__name__)
        raise UserError(f'{file} of {repository} from the hub', reason,
                        'check the name and the network, or pass a file on this machine') from error


def no_connection() -> str | None:
    """What is wrong with the way to the hub; None where nothing is, or a proxy knows it."""
    from huggingface_hub import constants
    address = urlsplit(endpoint() or constants.ENDPOINT)
    proxies = {'http', 'https', 'all'} & getproxies().keys()
    if constants.HF_HUB_OFFLINE or proxies or address.hostname is None:
        return None
    port = address.port or (80 if address.scheme == 'http' else 443)
    try:
        socket.create_connection((address.hostname, port), PATIENCE).close()
    except OSError as error:
        return f'no connection to {address.hostname} ({error.strerror or error})'
    return None
