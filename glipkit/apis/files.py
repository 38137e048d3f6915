"""Result files that are there whole or not at all."""
from __future__ import annotations

from pathlib import Path

from glipkit.errors import UserError
from glipkit.models.checkpoints.files import atomic


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8; makes its folder where there is none.

    Raises:
        UserError: When nothing can be written there.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError('a file name', f'the folder {path}', 'add a name to it')
    make_folder(path.parent)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def make_folder(path: str | Path) -> None:
    """Makes a folder and those above it, where they are not there yet.

    Raises:
        UserError: When it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError('a folder that can be made', f'{path} ({error.strerror})',
                        'pass another place') from error
