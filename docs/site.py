"""Hooks of the documentation's site: what lies outside of docs/ comes along.

In the repository links lead to configs, cards and code, and README.md stands above them all. On the
site README.md is the first page, and a linked file of the repository lies under files/.
"""
from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r'(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))')
#: Cards of weights are pages of their own, other files are shown as they are.
_PAGES = '.md'


def on_files(files: Files, config: Any) -> Files:
    """Adds README.md as the first page, and the files that pages link to."""
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    files.append(File.generated(config, 'index.md', content=_inside(readme, 'README.md')))
    waiting = {path for page in [*files] if page.src_uri.endswith('.md') and page.inclusion.name
               != 'EXCLUDED' for path in _outside(_text(page), _place(page.src_uri))}
    done: set[str] = set()
    while waiting:
        path = waiting.pop()
        done.add(path)
        text = (ROOT / path).read_text(encoding='utf-8')
        if path.endswith(_PAGES):
            waiting |= _outside(text, path) - done
            text = _inside(text, path)
        files.append(File.generated(config, _uri(path), content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links out of docs/ lead to where the files came to lie."""
    if page.file.generated_by:
        return markdown
    return _inside(markdown, _place(page.file.src_uri))


def _place(uri: str) -> str:
    return 'README.md' if uri == 'index.md' else f'docs/{uri}'


def _text(page: File) -> str:
    return (ROOT / _place(page.src_uri)).read_text(encoding='utf-8')


def _uri(path: str) -> str:
    """Where a file of the repository lies on the site."""
    if path == 'README.md':
        return 'index.md'
    if path.startswith('docs/'):
        return path.removeprefix('docs/')
    # An ending of its own, for a browser that shows a text.
    return f'files/{path}' if path.endswith(_PAGES) else f'files/{path}.txt'


def _target(link: str, place: str) -> str | None:
    """The repository's path that a link stands for; None for one that is no file there."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
    return path if (ROOT / path).is_file() else None


def _outside(text: str, place: str) -> set[str]:
    found = {_target(match[2], place) for match in _LINK.finditer(text)}
    return {path for path in found
            if path and path != 'README.md' and not path.startswith('docs/')}


def _inside(text: str, place: str) -> str:
    """A page with its links as they are on the site."""
    here = posixpath.dirname(_uri(place))

    def moved(match: re.Match[str]) -> str:
        path = _target(match[2], place)
        if path is None:
            return match[0]
        return match[1] + posixpath.relpath(_uri(path), here or '.') + match[3]

    return _LINK.sub(moved, text)
