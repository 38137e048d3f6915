"""Small source files in the formats of their owners."""
import json
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path):
    """write('a.json', content): JSON, or text where the content is a string; returns the path."""

    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        # The same content leaves the time of change alone, which preparation looks at.
        if not path.exists() or path.read_text(encoding='utf-8') != text:
            path.write_text(text, encoding='utf-8')
        return str(path)

    return write_file


@pytest.fixture
def lines_of():
    """lines_of(path): the objects of a line file."""
    return lambda path: [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.fixture
def manifest_of():
    """manifest_of(folder): step -> its record."""
    return lambda folder: json.loads((Path(folder) / 'manifest.json').read_text())['steps']
