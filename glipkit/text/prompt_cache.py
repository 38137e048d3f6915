"""Prompts depend on the query alone: build each list once, keyed by its content."""
from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from glipkit.text.structures import Prompt


class PromptCache:
    """Remembers the prompts of the queries used last; safe for several threads.

    Args:
        max_queries: Largest number of queries to hold. The one used least recently is removed
            first.
    """

    def __init__(self, max_queries: int = 64) -> None:
        self.max_queries = max_queries
        self._lock = threading.Lock()
        self._prompts: OrderedDict[Hashable, tuple[Prompt, ...]] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies of a model begin with an empty memory; a lock cannot be copied.
        return type(self), (self.max_queries, )

    def get(self, key: Hashable, build: Callable[[], list[Prompt]]) -> tuple[Prompt, ...]:
        """The prompts of a key, built by ``build`` where they are not in memory.

        Args:
            key: Everything that the prompts depend on.
            build: Function that makes the prompts; its errors are not remembered.
        """
        with self._lock:
            found = self._prompts.get(key)
            if found is None:
                found = self._prompts[key] = tuple(build())
                if len(self._prompts) > self.max_queries:
                    self._prompts.popitem(last=False)
            self._prompts.move_to_end(key)
            return found
