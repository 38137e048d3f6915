"""Where the stamps come from: Debian's package, a .deb file, or a folder that is already there."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from glipkit.common.digests import file_sha256, files_sha256
from glipkit.errors import UserError
from glipkit.files import atomic_folder
from glipkit.worlds.stamp_names import name_stamp

PACKAGE = 'tuxpaint-stamps-default'
#: Where the package keeps the stamps.
INSIDE = Path('usr/share/tuxpaint/stamps')
#: What is kept of a package; it also holds sounds, which are most of its 160 MB.
KEPT_SUFFIXES = ('.png', '.txt', '.dat')
BY_HAND = (f'get the file {PACKAGE}_*.deb (packages.debian.org/{PACKAGE}) and give it with --deb, '
           f'or give an unpacked stamps folder with --stamps')


@dataclass(frozen=True)
class Stamp:
    """A usable cut-out photograph.

    Args:
        name: Class name.
        folder: The first two folders of its path, its supercategory ('food/fruit').
        path: The PNG file.
        may_mirror: Whether it still shows the same thing when mirrored (text does not).
    """
    name: str
    folder: str
    path: Path
    may_mirror: bool


def unpack_package(folder: Path, deb: Path | None = None) -> tuple[Path, dict[str, str]]:
    """Make the package's stamps available below ``folder``, once.

    Args:
        folder: Folder of pictures and captions. A later call with the same (or no) ``deb``
            finds them there and does nothing.
        deb: The package file; None downloads it with apt-get, which needs no rights.

    Returns:
        The stamps folder, and file, version and sha256 of the package.

    Raises:
        UserError: No package file, no dpkg-deb or apt-get, no network.
    """
    record = folder / 'package.json'
    if deb is not None and not deb.is_file():
        raise UserError('an existing .deb file', str(deb), 'check the path')
    if record.exists():
        package = json.loads(record.read_text(encoding='utf-8'))
        if deb is None or file_sha256(deb) == package['sha256']:
            return folder / 'stamps', package
    _need_program('dpkg-deb')
    with tempfile.TemporaryDirectory() as scratch, atomic_folder(folder) as ready:
        deb = deb or _download(Path(scratch))
        package = dict(file=deb.name, version=_run(['dpkg-deb', '-f', deb, 'Version']),
                       sha256=file_sha256(deb))
        _run(['dpkg-deb', '-x', deb, Path(scratch) / 'unpacked'])
        shutil.copytree(find_stamps_dir(Path(scratch) / 'unpacked'), ready / 'stamps',
                        ignore=_ignore_all_but_kept)
        (ready / 'package.json').write_text(json.dumps(package, indent=1), encoding='utf-8')
    return folder / 'stamps', package


def find_stamps_dir(folder: Path) -> Path:
    """The stamps folder itself, given it or the root of an unpacked package.

    Raises:
        UserError: There is no such folder.
    """
    inside = folder / INSIDE
    if inside.is_dir():
        return inside
    if folder.is_dir():
        return folder
    raise UserError('a folder with stamps', str(folder), BY_HAND)


def list_stamps(stamps_dir: Path) -> list[Stamp]:
    """All usable stamps, sorted by path.

    Raises:
        UserError: There are none.
    """
    stamps = []
    for path in sorted(stamps_dir.rglob('*.png')):
        caption = path.with_suffix('.txt')
        if not caption.exists():
            continue
        relative = path.relative_to(stamps_dir).with_suffix('').as_posix()
        first_line = caption.read_text(encoding='utf-8').partition('\n')[0].strip()
        name = name_stamp(relative, first_line)
        if name is not None:
            folder = '/'.join(relative.split('/')[:-1][:2]) or 'other'
            stamps.append(Stamp(name, folder, path, _may_mirror(path.with_suffix('.dat'))))
    if not stamps:
        raise UserError('PNG stamps with a caption in a .txt file beside them', str(stamps_dir),
                        BY_HAND)
    return stamps


def digest(stamps: Iterable[Stamp]) -> str:
    """Checksum of what a world takes from its stamps: names and pictures."""
    stamps = list(stamps)
    names = '\n'.join(f'{item.folder} {item.name} {item.may_mirror}' for item in stamps)
    return hashlib.sha256((names + files_sha256(item.path for item in stamps)).encode()).hexdigest()


def _may_mirror(settings: Path) -> bool:
    """Tux Paint's own setting for a stamp."""
    return not settings.exists() or 'nomirror' not in settings.read_text(encoding='utf-8').split()


def _download(folder: Path) -> Path:
    """Fetch the package with apt-get into ``folder``."""
    _need_program('apt-get')
    _run(['apt-get', 'download', PACKAGE], folder)
    return next(folder.glob(f'{PACKAGE}_*.deb'))


def _need_program(program: str) -> None:
    if shutil.which(program) is None:
        raise UserError(f'the program {program} (Debian, Ubuntu)', 'a machine without it',
                        'unpack the package elsewhere and give the stamps folder with --stamps')


def _run(command: list, folder: Path | None = None) -> str:
    """Output of a program; its last complaint becomes the error."""
    done = subprocess.run([str(part) for part in command], cwd=folder, text=True,
                          capture_output=True, check=False)
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1]
        raise UserError(f'{command[0]} to work', complaint, BY_HAND)
    return done.stdout.strip()


def _ignore_all_but_kept(folder: str, names: list[str]) -> list[str]:
    return [name for name in names
            if not name.endswith(KEPT_SUFFIXES) and not os.path.isdir(os.path.join(folder, name))]
