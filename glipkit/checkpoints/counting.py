"""Counting what keys are numbered with."""
from __future__ import annotations

import re
from collections.abc import Iterable


def count(keys: Iterable[str], stem: str) -> int:
    """One more than the largest index that follows ``stem`` in any key; 0 if none does."""
    pattern = re.compile(re.escape(stem) + r'(\d+)\b')
    found = [int(match[1]) for match in map(pattern.match, keys) if match]
    return max(found) + 1 if found else 0
