"""Which task files a server is started with, and what it calls them."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glipkit.errors import UserError

SUFFIX = '.safetensors'


def find_tasks(files: Sequence[str], folder: Path | None = None) -> dict[str, Path]:
    """Name -> file of every task.

    A file has the name that stands before it (``NAME=FILE``), otherwise its own; one that is called
    ``task`` has its folder's, as ``glipkit tune --out fish`` writes ``fish/task.safetensors``.

    Args:
        files: ``FILE`` or ``NAME=FILE``.
        folder: Whose files, and those of ``glipkit tune`` in the folders inside it, are taken too.

    Raises:
        UserError: No such file, none in the folder, or two of one name.
    """
    found: list[tuple[str, Path]] = []
    for text in files:
        name, sign, path = text.partition('=')
        file = Path(path if sign and not Path(text).is_file() else text)
        found.append((name if sign and str(file) == path else _name_of(file), file))
    if folder is not None:
        inside = sorted([*folder.glob(f'*{SUFFIX}'), *folder.glob(f'*/task{SUFFIX}')])
        if not inside:
            raise UserError(f'a folder with task files (*{SUFFIX}, */task{SUFFIX})',
                            f'none in {folder}', 'check the path')
        found += [(_name_of(file), file) for file in inside]
    tasks: dict[str, Path] = {}
    for name, file in found:
        if not name or '/' in name:
            raise UserError('a task as FILE or NAME=FILE', str(file), 'name it without slashes')
        if name in tasks and tasks[name].resolve() != file.resolve():
            raise UserError('tasks of different names', f'{name} for {tasks[name]} and {file}',
                            'name them: --task NAME=FILE')
        tasks[name] = file
    return tasks


def _name_of(file: Path) -> str:
    return file.absolute().parent.name if file.stem == 'task' else file.stem
