"""A folder of files to a repository of the Hugging Face hub, in one commit: all of them or none."""
from __future__ import annotations

import re
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from glipkit.checkpoints.download import endpoint, first_line, is_offline, quiet
from glipkit.checkpoints.hub import no_connection
from glipkit.errors import UserError

#: As the hub allows them: no doubled or outer dots and dashes, at most 96 characters each.
_PART = r'(?!.*(?:--|\.\.))[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?'


def check_repository(name: str) -> None:
    """Refuses what cannot be the name of a repository.

    Raises:
        UserError: It is not ``owner/name``, or the hub has no such names.
    """
    if not all(re.fullmatch(_PART, part) for part in name.split('/')) or name.count('/') != 1 \
            or name.endswith('.git'):
        raise UserError('a repository as owner/name, of letters, digits, - _ and .', repr(name),
                        'pass e.g. anna/fish-detector')


class Hub:
    """The hub, with the rights of the user's own token.

    Names, places and passwords are the hub library's: HF_ENDPOINT, HF_TOKEN, ``hf auth login``. The
    token is in no message.

    Raises:
        UserError: No token, no network, or a token that the hub does not know.
    """

    def __init__(self) -> None:
        try:
            from huggingface_hub import HfApi, get_token
        except ImportError as error:
            raise UserError('the package huggingface_hub to push with', 'none installed',
                            'pip install huggingface_hub') from error
        self._token = get_token()
        if not self._token:
            raise UserError('a token of the hub', 'none',
                            'run hf auth login, or set HF_TOKEN; or look first with --dry-run')
        if is_offline():
            raise UserError('a connection to the hub', 'HF_HUB_OFFLINE is set',
                            'unset it; or write the folder alone with --dry-run')
        broken = no_connection()
        if broken is not None:
            raise UserError('a connection to the hub', broken,
                            'check the network; or write the folder alone with --dry-run')
        self._api = HfApi(endpoint=endpoint(), token=self._token)
        self._ask('a token that the hub knows', 'run hf auth login again', 'whoami')

    def push(self, folder: Path, repository: str, message: str, private: bool = False) -> str:
        """Makes the repository where there is none, and commits the files of a folder to it.

        Args:
            folder: Files to commit; what else the repository holds stays.
            repository: ``owner/name``.
            message: Title of the commit.
            private: Whether a repository that is made is private; one that is there keeps its
                setting.

        Returns:
            Address of the repository.

        Raises:
            UserError: The hub refused, or the connection broke. Nothing was committed then.
        """
        place = self._ask(f'a repository {repository} that you may write to',
                          'check the name and the rights of the token', 'create_repo', repository,
                          private=private, exist_ok=True)
        self._ask(f'{repository} to take {len(list(folder.iterdir()))} files',
                  'nothing was committed; the same command again begins anew', 'upload_folder',
                  repo_id=repository, folder_path=folder, commit_message=message)
        return str(place)

    def _ask(self, expected: str, fix: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """What a method of the hub's client returns; what it raises, as one line."""
        seen = sys.stderr is not None and sys.stderr.isatty()
        try:
            with warnings.catch_warnings(), nullcontext() if seen else quiet():
                warnings.simplefilter('ignore')
                return getattr(self._api, method)(*args, **kwargs)
        except Exception as error:  # the hub's errors and those of whatever HTTP client it uses
            raise UserError(expected, first_line(error).replace(self._token, '(token)'),
                            fix) from None
