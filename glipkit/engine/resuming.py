"""Where a training resumes: the newest checkpoint of its folder that is whole."""
from __future__ import annotations

import re
from pathlib import Path

from glipkit.checkpoints.loading import read_training_checkpoint
from glipkit.common.reporter import note
from glipkit.errors import UserError

#: mmengine's file with the path of the newest checkpoint.
POINTER = 'last_checkpoint'
_NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


def newest_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint to resume from; None where there is none that can be read.

    The one that ``last_checkpoint`` names comes first, in the folder itself where that has been
    moved, then those of the highest iteration or epoch. A kill or a full disk may have left that
    file empty, and a checkpoint cut off; what is passed over for this is noted.

    Args:
        folder: Work directory of the training.
    """
    folder = Path(folder)
    for path in _candidates(folder):
        if is_whole(path):
            return path
    return None


def is_whole(path: Path) -> bool:
    """Whether a checkpoint can be read; notes why not."""
    try:
        read_training_checkpoint(path)
    except UserError as error:
        note(f'not resumed from {path}: {error.got}')
        return False
    return True


def _candidates(folder: Path) -> list[Path]:
    found = []
    try:
        named = (folder / POINTER).read_text(encoding='utf-8', errors='replace').strip('\0 \n\r\t')
    except OSError:
        named = ''
    if named and '\0' not in named:
        found = [path for path in (Path(named), folder / Path(named).name) if path.is_file()][:1]
    numbered = [(int(match[1]), path.stat().st_mtime, path) for path in folder.glob('*.pth')
                if (match := _NUMBERED.fullmatch(path.name)) and path.is_file()]
    others = [path for _, _, path in sorted(numbered, reverse=True)]
    return found + [path for path in others if path not in found]
