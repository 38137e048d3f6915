"""Values and files that are made once, and checked before they are used again."""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process

from glipkit.common.digests import file_sha256
from glipkit.files import write_text


def remembered(path: Path, make: Callable[[], Any]) -> Any:
    """The value of ``make``, from an earlier start or made now; every process gets the same.

    A file that the power has cut off is made again.

    Args:
        path: JSON file of the value, which the first process writes.
        make: Function that makes the value, in all processes together.
    """
    if not _is_json(path):
        value = make()
        if is_main_process():
            write_json(path, value)
        barrier()
    return json.loads(path.read_text(encoding='utf-8'))


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding='utf-8'))
    except (FileNotFoundError, ValueError):
        return False
    return True


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON, atomically, with a line per item."""
    write_text(path, json.dumps(value, indent=1) + '\n')


def read_results(paths: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Results of units of work, by their names."""
    return {name: json.loads(path.read_text(encoding='utf-8')) for name, path in paths.items()}


def write_record(path: Path, result: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the record that marks a result as done; to be called when the result is in place.

    Args:
        path: JSON file of the record.
        result: File of the result.
        content: Other values of the record.

    Returns:
        The record: the content, and ``sha256`` of the result.
    """
    record = {**content, 'sha256': file_sha256(result)}
    write_text(path, json.dumps(record, ensure_ascii=False) + '\n')
    return record


def read_record(path: Path, result: Path, expected: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a result that is done and as it was; None where it has to be made (again).

    Args:
        path: JSON file of the record.
        result: File of the result.
        expected: Values that the record must have.
    """
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or any(record.get(k) != v for k, v in expected.items()):
        return None
    return record if is_intact(result, record) else None


def is_intact(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a file exists and has the ``sha256`` (and ``size``, if given) of its record."""
    if not path.is_file() or record.get('size', path.stat().st_size) != path.stat().st_size:
        return False
    return file_sha256(path) == record.get('sha256')
