"""The page for people: `build_page` makes it of a service, `mount_page` adds it to an application.

`building` lays it out of `parts` and `showing_parts`; `wiring` joins these to what they do:
`actions`, and `showing` where boxes are drawn. These two know no web framework. `session` is what
one open tab knows.
"""
from __future__ import annotations

from glipkit.common.lazy import lazy_names

_PLACES = {'build_page': 'glipkit.serve.page.building', 'mount_page': 'glipkit.serve.page.building'}

__all__ = sorted(_PLACES)
__getattr__ = lazy_names(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
