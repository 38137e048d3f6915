"""Which annotation format a file is in, told from its content."""
from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from glipkit.errors import UserError

READERS = {
    'coco': 'CocoDetection',
    'lvis': 'LvisDetection',
    'odvg': 'OdvgGrounding',
    'mdetr': 'MdetrGrounding',
    'flickr': 'FlickrGrounding',
    'caption-shards': 'CaptionShards',
    'tsv': 'TsvDetection',
}
"""Name of a format -> name of its reader in the registry DATASETS."""

_EXPECTED = ('a COCO, LVIS, mixed grounding or Flickr30k json, an ODVG jsonl, caption shards (a '
             'folder, a jsonl with scores, or a tar) or a detection TSV (its yaml or label file)')
_TAR_MAGIC = slice(257, 262), b'ustar'
_FOREIGN = {
    b'\x1f\x8b': 'a gzip file, which has to be unpacked first',
    b'PK\x03\x04': 'a zip file, which has to be unpacked first',
    b'\xff\xfe': 'text in UTF-16, where UTF-8 is read',
    b'\xfe\xff': 'text in UTF-16, where UTF-8 is read',
    b'//': 'a json with comments, which have to be removed',
    b'/*': 'a json with comments, which have to be removed',
}
_HEAD = 4096
_LINES = 20
_LONGEST_LINE = 1 << 24
_FLICKR = {'tokens_positive_eval', 'sentence_id', 'original_img_id'}


def detect_format(path: str | Path) -> str:
    """The format of an annotation file, one of `READERS`.

    Reads the first lines of a line format, and of a json only as far as its first image (the
    whole file is searched only where images stand behind everything else).

    Args:
        path: The file, or a folder of caption shards.

    Raises:
        UserError: Nothing there, or nothing that a reader takes; names what is supported.
    """
    path = Path(path)
    if path.is_dir():
        if any(next(path.glob(pattern), None) for pattern in ('*.jsonl', '*.tar')):
            return 'caption-shards'
        raise _unsupported(path, 'a folder without .jsonl or .tar shards')
    try:
        with path.open('rb') as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError('an annotation file', f'{path}: {error.strerror}',
                        'check the path') from error
    if not head.strip():
        raise _unsupported(path, 'an empty file')
    for magic, got in _FOREIGN.items():
        if head.startswith(magic):
            raise _unsupported(path, got)
    if head[_TAR_MAGIC[0]] == _TAR_MAGIC[1]:
        return 'caption-shards'
    if path.suffix in ('.yaml', '.yml'):
        return _of_yaml(path)
    if re.match(rb'[^\t\n{\[]+\t', head):
        return _of_tsv(path)
    if not head.lstrip(b'\xef\xbb\xbf \t\r\n').startswith(b'{'):
        raise _unsupported(path, 'neither json, nor lines of it, nor a table')
    return _of_lines(path) or _of_json(path)


def _unsupported(path: Path, got: str) -> UserError:
    return UserError(_EXPECTED, f'{path}: {got}', 'convert the file to one of these')


def _of_yaml(path: Path) -> str:
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8-sig'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unsupported(path, f'no yaml ({" ".join(str(error).split())})') from error
    if isinstance(content, dict) and {'img', 'label'} <= content.keys():
        return 'tsv'
    raise _unsupported(path, "a yaml without the entries 'img' and 'label'")


def _of_tsv(path: Path) -> str:
    for line in _first_lines(path):
        columns = line.split(b'\t')
        value = _parsed(columns[1]) if len(columns) == 2 else None
        if isinstance(value, dict):
            value = value.get('objects')
        if isinstance(value, list) and all(
                isinstance(item, dict) and 'rect' in item for item in value):
            if value:
                return 'tsv'
            continue
        raise _unsupported(path, "a table whose second column is no list of objects with 'rect'")
    return 'tsv'


def _of_lines(path: Path) -> str | None:
    """Format of a file with one object per line; None where it is another kind of json."""
    found = None
    for line in _first_lines(path):
        value = _parsed(line)
        if not isinstance(value, dict):
            return found
        kinds = {'grounding', 'detection'} & value.keys()
        if not kinds:
            return found
        found = 'odvg'
        grounding = value.get('grounding')
        regions = grounding.get('regions') if isinstance(grounding, dict) else None
        if isinstance(regions, list) and any(isinstance(r, dict) and 'score' in r for r in regions):
            return 'caption-shards'
    return found


def _of_json(path: Path) -> str:
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        image = first_record(data, 'images')
        if image is None:
            if re.search(rb'"shards"\s*:\s*\[', data[:_HEAD]):
                return 'caption-shards'
            raise _unsupported(path, "a json without a list 'images'")
        if {'neg_category_ids', 'not_exhaustive_category_ids'} & image.keys():
            return 'lvis'
        if 'caption' not in image:
            return 'coco'
        if _FLICKR & image.keys() or image.get('dataset_name') == 'flickr':
            return 'flickr'
        annotation = first_record(data, 'annotations')
        # COCO files of some tools carry captions too, but without spans.
        return 'coco' if annotation and 'tokens_positive' not in annotation else 'mdetr'


def first_record(data: mmap.mmap, key: str) -> dict[str, Any] | None:
    """First object of a list; {} where that is empty or cut off, None where there is no list."""
    found = re.search(rb'(?<!\\)"%s"\s*:\s*\[\s*' % key.encode(), data)
    if not found:
        return None
    size = 1 << 14
    while True:
        text = data[found.end():found.end() + size].decode('utf-8', 'ignore')
        try:
            value, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            # The record may be longer than what was read; an empty list begins with its end.
            if text.startswith(']') or found.end() + size >= len(data) or size > _LONGEST_LINE:
                return {}
            size *= 8
        else:
            return value if isinstance(value, dict) else {}


def _first_lines(path: Path) -> Iterator[bytes]:
    """Up to `_LINES` lines that are not blank; no more than `_LONGEST_LINE` bytes of each."""
    with path.open('rb') as file:
        lines = iter(lambda: file.readline(_LONGEST_LINE), b'')
        yield from islice((line for line in lines if line.strip()), _LINES)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
