"""Folders with COCO files as tools export them: which file is which part, where its images are."""
from __future__ import annotations

import mmap
from pathlib import Path

from glipkit.data.formats.box_sets.structures import (
    SPLITS,
    in_order,
    part_folders,
    split_of,
)
from glipkit.data.formats.coco_json import image_name
from glipkit.data.formats.detect import detect_format, first_record
from glipkit.errors import UserError

#: Files of a folder that are looked into.
_MOST = 20


def find_coco_files(root: Path) -> dict[str, Path]:
    """``'train'``, ``'val'``, ``'test'`` -> its COCO json; empty where the folder has none.

    Looked for are ``train/_annotations.coco.json`` and the like, files of the folder and those of
    ``annotations``, whose names tell the part.

    Raises:
        UserError: Several files for one part.
    """
    found: dict[str, list[Path]] = {}
    for part, folder in part_folders(root).items():
        found[part] = _coco_files(folder)
    if not any(found.values()):
        for folder in (root, root / 'annotations'):
            for path in _coco_files(folder):
                found.setdefault(split_of(path.stem) or '', []).append(path)
    found = {part: _chosen(paths) for part, paths in found.items() if paths}
    named = {part: paths for part, paths in found.items() if part}
    if not named and len(found.get('', ())) == 1:
        return {'train': found[''][0]}
    for part, paths in named.items():
        if len(paths) > 1:
            raise UserError(f'one COCO json for the part {part}',
                            f'{root} with {", ".join(p.name for p in paths[:3])}',
                            'pass the file that you mean, with --images')
    if not named and found:
        raise UserError('COCO files whose names say train, val or test',
                        f'{root} with {", ".join(p.name for p in found[""][:3])}',
                        'pass the file that you mean, with --images')
    return in_order({part: paths[0] for part, paths in named.items()})


def images_of(path: Path, root: Path | None = None) -> Path:
    """The folder of a COCO file's images, by looking for the first of them.

    Args:
        path: The file.
        root: Folder of the data set; None takes that of the file, and of the one above where the
            file lies in ``annotations``.

    Raises:
        UserError: It is in none of the usual places.
    """
    if root is None:
        root = path.parent.parent if path.parent.name == 'annotations' else path.parent
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        name = image_name(first_record(data, 'images') or {})
    part = split_of(path.stem) or SPLITS.get(path.parent.name.lower(), '')
    words = [word for word, meant in SPLITS.items() if meant == part]
    last = path.stem.rpartition('_')[2]
    places = [path.parent, root, root / 'images', root / last, root / 'images' / last,
              *(root / word for word in words), *(root / 'images' / word for word in words),
              *(root / word / 'images' for word in words)]
    for place in dict.fromkeys(places):
        if not isinstance(name, str) and place.is_dir() or \
                isinstance(name, str) and (place / name).is_file():
            return place
    tried = ', '.join(str(place) for place in dict.fromkeys(places) if place.is_dir())
    raise UserError(f'the images of {path}', f'{name} in none of {tried}',
                    'pass the folder of the images with the option for it, e.g. --images')


def _coco_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob('*.json'))[:_MOST] if _is_coco(path)] \
        if folder.is_dir() else []


def _is_coco(path: Path) -> bool:
    try:
        return detect_format(path) == 'coco'
    except UserError:
        return False


def _chosen(paths: list[Path]) -> list[Path]:
    """Of COCO's own files those with boxes of things: keypoints and captions have names too."""
    return [path for path in paths if path.name.startswith('instances')] or paths
