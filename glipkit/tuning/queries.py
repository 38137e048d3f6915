"""What a query file adds to the classes of a task."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glipkit.apis.query_files import names_combine, read_query
from glipkit.errors import UserError


def read_parts(path: Path, classes: Sequence[str]) -> tuple[dict[str, Any], bool]:
    """The parts of a query file, and whether it leaves open how names of one class are combined.

    Args:
        path: YAML or JSON, see `read_query`; its classes are some or all of the task's.
        classes: Class names of the task.

    Raises:
        UserError: No such file, other classes, or what cannot go with these.
    """
    query = read_query(f'@{path}')
    strange = [name for name in query.classes if name not in classes]
    if strange:
        raise UserError(f'classes of the task ({", ".join(classes)})', f'{path}: {strange[0]!r}',
                        'spell them as in the annotation file')
    used = [name for name in [name for _, others in query.synonyms for name in others]
            + list(query.negatives) if name in classes]
    if used:
        raise UserError('other names and negatives that are no class of the data',
                        f'{path}: {used[0]!r}, which has boxes of its own there',
                        'leave it out: classes of the data compete by themselves')
    return query.parts, not names_combine(path)
