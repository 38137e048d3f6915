"""SHA-256 of files, as hexadecimal text."""
from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_BLOCK = 1 << 20


def file_sha256(path: str | Path) -> str:
    """Digest of one file's content."""
    return files_sha256([path])


def files_sha256(paths: Iterable[str | Path]) -> str:
    """Digest of the contents of several files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, 'rb') as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
