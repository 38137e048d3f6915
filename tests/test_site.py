"""The documentation as a site: whole, without a warning, and asking nobody for anything."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
#: Attributes from which a browser fetches by itself.
FETCHED = {'script': 'src', 'link': 'href', 'img': 'src', 'iframe': 'src', 'source': 'src'}


class Page(HTMLParser):
    """What a page fetches, and where its links lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if FETCHED.get(tag) in found and found.get('rel') != 'canonical':
            self.fetched.append(found[FETCHED[tag]])
        if tag == 'a' and found.get('href'):
            self.links.append(found['href'])


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    pytest.importorskip('mkdocs')
    pytest.importorskip('material')
    out = tmp_path_factory.mktemp('site')
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'})
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_every_document_is_a_page(site):
    documents = {path.stem for path in (ROOT / 'docs').glob('*.md')}
    assert documents | {'index', '404'} == {path.stem for path in site.glob('*.html')}
    text = (site / 'index.html').read_text(encoding='utf-8')
    for name in documents:
        assert f'href="{name}.html"' in text, f'{name}.md is not in the nav of mkdocs.yml'


def test_nothing_is_fetched_from_elsewhere_and_no_link_is_dead(site):
    pages = {path: Page(path) for path in site.rglob('*.html')}
    for path, page in pages.items():
        for address in page.fetched:
            assert not urlsplit(address).netloc, f'{path.name} fetches {address}'
        for link in page.links + page.fetched:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not parts.path or path.name == '404.html':
                continue
            assert (path.parent / unquote(parts.path)).exists(), f'{path.name}: {link}'
    style = ''.join(p.read_text(encoding='utf-8') for p in site.rglob('*.css'))
    assert not re.search(r'(@import|url\()["\']?https?:', style)
