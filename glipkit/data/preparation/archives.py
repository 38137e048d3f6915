"""Zip files unpacked so that nothing lands outside the target, and a cut run resumes."""
from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from glipkit.data.preparation.steps import atomic
from glipkit.errors import UserError

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Unpacked:
    """One file of an archive: path below the target, size in bytes, and its CRC-32."""
    name: str
    size: int
    crc32: int


def unpack(archive: Path, target: Path, below: str) -> Iterator[Unpacked]:
    """Unpacks the files of a zip that are under one folder, or all where there is no such folder.

    Files that are there already, whole, are kept.

    Args:
        archive: The zip.
        target: Folder that gets the content.
        below: Name of the data set's folder. Where members have it in their paths, what stands
            before it is cut off; where none has, all go into a new folder of that name.

    Yields:
        The files, in the order of the archive, each after it is in place.

    Raises:
        UserError: No zip, damaged, a member that leads out of the target or is a link (before
            anything is written), or too little room on the disk.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = _members(archive, file, below)
            absent = [(info, path) for info, path in members
                      if not _is_there(target / path, info)]
            _check_room(target, sum(info.file_size for info, _ in absent))
            todo = {path for _, path in absent}
            for info, path in members:
                if path in todo:
                    _extract(file, info, target / path)
                yield Unpacked(path, info.file_size, info.CRC)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # RuntimeError stands for a member that is encrypted.
        raise UserError('a whole zip file', f'{archive} ({error})', 'download it again') from error
    except OSError as error:
        raise UserError('a zip file that can be read', f'{archive} ({error.strerror or error})',
                        'check the path and the disk') from error


def _members(archive: Path, file: zipfile.ZipFile,
             below: str) -> list[tuple[zipfile.ZipInfo, str]]:
    """The files with their paths below the target."""
    infos = [info for info in file.infolist() if not info.is_dir()]
    for info in infos:
        parts = PurePosixPath(info.filename.replace('\\', '/')).parts
        if not parts or parts[0] == '/' or '..' in parts or ':' in parts[0]:
            raise UserError('a zip whose files stay in its folder', f'{archive}: {info.filename}',
                            'do not unpack it; download it again from a source you trust')
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UserError('a zip without links', f'{archive}: {info.filename}',
                            'do not unpack it; download it again from a source you trust')
    paths = [PurePosixPath(info.filename).parts for info in infos]
    inside = [(info, parts[parts.index(below):]) for info, parts in zip(infos, paths, strict=True)
              if below in parts[:-1]]
    chosen = inside or [(info, (below, *parts)) for info, parts in zip(infos, paths, strict=True)]
    return [(info, '/'.join(parts)) for info, parts in chosen]


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != info.file_size:
        return False
    crc = 0
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc == info.CRC


def _extract(file: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    # The source is checked against its CRC when the last block is read.
    with file.open(info) as source, atomic(path) as target:
        shutil.copyfileobj(source, target, _BLOCK)


def _check_room(target: Path, needed: int) -> None:
    place = next(path for path in (target.absolute(), *target.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(f'{needed / 1e9:.1f} GB on the disk of {target}', f'{free / 1e9:.1f} GB',
                        'free some space or choose another --out')
