"""What a notebook shows of detections."""
from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from glipkit.apis.detections import Detections


def detections(names, image, count=None, **more) -> Detections:
    count = len(names) if count is None else count
    boxes = np.float32([[10, 10, 60, 40]] * count)
    return Detections(boxes, np.full(count, .5, np.float32), np.arange(count) % len(names), names,
                      (80, 100), image=image, **more)


def picture_in(text: str) -> Image.Image:
    data = re.search(r'src="data:image/jpeg;base64,([^"]+)"', text)[1]
    return Image.open(io.BytesIO(base64.b64decode(data)))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag != 'img':
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_names_are_escaped_and_the_picture_is_inside():
    found = detections(('<script>alert(1)</script>', 'a & b'),
                       np.full((80, 100, 3), 200, np.uint8))
    text = found._repr_html_()
    tags = Tags()
    tags.feed(text)
    assert not tags.open and tags.seen == {'div', 'p', 'img', 'table', 'tr', 'th', 'td'}
    assert '&lt;script&gt;' in text and 'a &amp; b' in text
    assert '2 found in 100 x 80 pixels' in text
    assert picture_in(text).size == (100, 80)


def test_a_large_picture_is_shrunk_and_a_long_table_is_cut():
    image = np.full((3000, 2000, 3), 90, np.uint8)
    found = replace(detections(('dog', ), image, 50), size=(3000, 2000))
    text = found._repr_html_()
    assert picture_in(text).size == (533, 800)
    assert text.count('<tr>') == 21 and 'and 30 more' in text
    assert len(text) < 100_000


def test_without_boxes_without_a_picture_and_with_tracks(tmp_path):
    empty = detections(('dog', ), np.zeros((80, 100), np.uint8), 0)
    assert '0 found' in empty._repr_html_() and '<table>' not in empty._repr_html_()
    gone = detections(('dog', ), tmp_path / 'gone.png', path=tmp_path / 'gone.png')
    assert '<img' not in gone._repr_html_() and 'gone.png' in gone._repr_html_()
    tracked = replace(gone, tracks=np.array([7]))
    assert '>track<' in tracked._repr_html_() and '>7<' in tracked._repr_html_()
