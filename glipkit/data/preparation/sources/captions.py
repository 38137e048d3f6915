"""Images with captions (CC3M, CC12M, SBU, or your own) to shards for pseudo-labelling."""
from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from glipkit.common.digests import file_sha256
from glipkit.common.reporter import track
from glipkit.data.preparation import Preparation
from glipkit.data.preparation.caption_pairs import (
    Pair,
    read_file_pairs,
    read_folder_pairs,
    read_objects,
    read_url_pairs,
)
from glipkit.data.preparation.steps import atomic
from glipkit.data.preparation.web_images import (
    SUFFIXES,
    ImageProblem,
    Limits,
    as_png,
    fetch_all,
    find_image,
    measure_all,
)
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare captions --urls Train_GCC-training.tsv --download --out data/cc3m --tar
  glipkit prepare captions --captions mine.jsonl --images photos --out data/mine
  glipkit prepare captions --folder photos --out data/mine

--urls takes lines of a caption and an address with a tab between, in either order. --captions
takes a jsonl with "filename" and "caption", or a tsv of file name and caption. --folder takes
images with a .txt of the same name beside each.

shards/ holds a line {"filename", "height", "width", "caption"} per usable image, dropped/ a line
per unusable one with its reason. File names are relative to --images, for --urls by default
OUT/images. A run after a kill fetches the images that are missing; a complete one tries no
address again without --redo."""


@dataclass(frozen=True)
class Shard:
    """Result of some pairs: lines for the usable ones, lines with a reason for the others."""
    kept: list[dict[str, Any]]
    dropped: list[dict[str, str]]


class Converter:
    """Finds, measures and sorts the images of pairs.

    Args:
        options: Options of the command.
        images: Folder of the images.
    """

    def __init__(self, options: argparse.Namespace, images: Path) -> None:
        self._threads, self._images = options.threads, images
        self._by_url, self._download = bool(options.urls), options.download
        self._limits = Limits(timeout=options.timeout, deadline=3 * options.timeout,
                              max_bytes=int(options.max_mb * 1e6), retries=options.retries)

    def convert(self, pairs: Sequence[Pair], title: str) -> Shard:
        """Sorts pairs into usable and unusable ones; ``title`` is that of the bar."""
        captioned = [pair for pair in pairs if _has_word(pair.caption)]
        dropped = [_loss(p, 'empty caption') for p in pairs if not _has_word(p.caption)]
        found: list[tuple[Pair, Path]] = []
        paths = track(self._locate(captioned), title, len(captioned), 'image')
        for pair, path in zip(captioned, paths, strict=True):
            if isinstance(path, Path):
                found.append((pair, path))
            else:
                dropped.append(_loss(pair, str(path)))
        kept = []
        sizes = measure_all([path for _, path in found], self._threads)
        for (pair, path), size in zip(found, sizes, strict=True):
            if isinstance(size, ImageProblem):
                dropped.append(_loss(pair, str(size)))
            else:
                kept.append(dict(filename=path.relative_to(self._images).as_posix(),
                                 height=size[1], width=size[0], caption=pair.caption))
        return Shard(kept, dropped)

    def _locate(self, pairs: Sequence[Pair]) -> Iterator[Path | ImageProblem]:
        if not self._by_url:
            return (self._inside(pair.place) for pair in pairs)
        urls = [pair.place for pair in pairs]
        if self._download:
            return fetch_all(urls, self._images, self._limits, self._threads)
        return (find_image(url, self._images) or ImageProblem('image not downloaded')
                for url in urls)

    def _inside(self, name: str) -> Path | ImageProblem:
        # By its name alone: links inside the folder are the user's own, and common.
        path = PurePath(name)
        if path.is_absolute() or '..' in path.parts:
            return ImageProblem('file name that leads out of the image folder')
        return self._images / path


def prepare(options: argparse.Namespace) -> Preparation:
    """Shards and listings of losses, then the manifest of the shards and, if asked, tars."""
    source = Path(options.urls or options.captions or options.folder)
    images = _image_folder(options)
    prep = Preparation(options.out, 'captions', options.redo)
    settings = {'shard_size': options.shard_size, 'images': str(images.absolute()),
                'download': options.download}
    _claim(prep, source, settings, options.redo)
    converter, shards, pairs = Converter(options, images), [], _pairs(options, source)
    while batch := list(islice(pairs, options.shard_size)):
        name = f'{len(shards):05d}'
        _write_shard(prep, name, source, {**settings, 'pairs': _digest(batch)}, batch, converter)
        shards.append(prep.path(f'shards/{name}.jsonl'))
    if not shards:
        raise UserError('images with captions', f'none in {source}', 'check the source')
    with prep.step('shards/manifest.json', inputs=shards) as step:
        if not step.done:
            counts = [_count_lines(shard) for shard in shards]
            step.count('captions', sum(counts))
            step.write_json(_manifest(shards, counts))
    if options.tar:
        _write_tars(prep, shards, images)
    return prep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--urls', metavar='TSV', help='captions and addresses')
    source.add_argument('--captions', metavar='FILE', help='file names and captions, jsonl or tsv')
    source.add_argument('--folder', metavar='DIR', help='images with a .txt beside each')
    parser.add_argument('--images', metavar='DIR',
                        help='folder of the images of --captions, or for those of --urls')
    parser.add_argument('--download', action='store_true',
                        help='fetch the images of --urls that are not there yet')
    parser.add_argument('--tar', action='store_true', help='write WebDataset tars as well')
    for option, kind, default, text in (
            ('--shard-size', _from(1, int), 10_000, 'pairs per shard'),
            ('--threads', _from(1, int), 16, 'images at a time'),
            ('--retries', _from(0, int), 2, 'further attempts of a download'),
            ('--timeout', _from(.1, float), 20.,
             'seconds without answer; a whole image has three times it'),
            ('--max-mb', _from(.001, float), 20., 'megabytes of an image')):
        parser.add_argument(option, type=kind, default=default, metavar='N',
                            help=f'{text} (default: %(default)s)')


def _image_folder(options: argparse.Namespace) -> Path:
    if options.download and not options.urls:
        raise UserError('--download beside --urls', 'another source', 'leave --download out')
    if options.folder and options.images:
        raise UserError('either --folder or --images', 'both', '--folder holds the images itself')
    if options.urls:
        return Path(options.images or Path(options.out) / 'images')
    if not (options.folder or options.images):
        raise UserError('--images beside --captions', 'none', 'add the folder of the images')
    folder = Path(options.folder or options.images)
    if not folder.is_dir():
        raise UserError('a folder of images', f'no folder {folder}', 'check the path')
    return folder


def _claim(prep: Preparation, source: Path, settings: dict[str, Any], redo: bool) -> None:
    """Removes shards that were made with other settings, or refuses to.

    Raises:
        UserError: There are such shards, and --redo was not given.
    """
    with prep.step('source.json', inputs=[source], settings=settings) as step:
        if step.done:
            return
        old = [path for folder in ('shards', 'tars') for path in prep.path(folder).glob('[0-9]*')]
        if old and not redo:
            raise UserError('a folder without shards, or made from the same source and settings',
                            f'{prep.out} with {len(old)} others',
                            'choose another --out, or pass --redo to replace them')
        for path in old:
            path.unlink()
        step.write_json({'source': str(source), **settings})


def _write_shard(prep: Preparation, name: str, source: Path, settings: dict[str, Any],
                 batch: list[Pair], converter: Converter) -> None:
    """The shard and its listing of losses: both files come from one piece of work."""
    with prep.step(f'shards/{name}.jsonl', inputs=[source], settings=settings) as step:

        @cache
        def work() -> Shard:
            return converter.convert(batch, step.name)

        if not step.done:
            step.count('captions', len(work().kept))
            for loss in work().dropped:
                step.drop(f'pairs with {loss["reason"]}', loss['source'])
            step.write_lines(work().kept)
    with prep.step(f'dropped/{name}.jsonl', inputs=[step.path], settings=settings) as losses:
        if not losses.done:
            losses.count('losses', len(work().dropped))
            losses.write_lines(work().dropped)


def _write_tars(prep: Preparation, shards: Sequence[Path], images: Path) -> None:
    tars, counts = [], []
    for shard in shards:
        tar = prep.path(f'tars/{shard.stem}.tar')
        if not tar.exists() or tar.stat().st_mtime_ns < shard.stat().st_mtime_ns:
            write_tar(tar, shard, images)
        tars.append(tar)
        counts.append(_count_lines(shard))
    with prep.step('tars/manifest.json', inputs=tars) as step:
        if not step.done:
            step.count('captions', sum(counts))
            step.write_json(_manifest(tars, counts))


def write_tar(path: Path, shard: Path, images: Path) -> None:
    """One WebDataset tar: key.jpg (or png, webp), key.txt and key.json per line of a shard.

    Images of other kinds become png. The same lines and images give the same bytes.

    Raises:
        UserError: An image of the shard is gone.
    """
    with atomic(path) as file, tarfile.open(fileobj=file, mode='w') as tar:
        for number, line in read_objects(shard, 'a caption shard'):
            image = images / line['filename']
            ending = {'.jpeg': '.jpg'}.get(image.suffix.lower(), image.suffix.lower())
            key = f'{shard.stem}{number:06d}'
            try:
                content = image.read_bytes()
            except OSError as error:
                raise UserError('the images of the shard', f'{image} ({error.strerror})',
                                'restore it, or run with --redo') from error
            if ending not in SUFFIXES.values():
                ending, content = '.png', as_png(content)
            for suffix, block in ((ending, content), ('.txt', line['caption'].encode()),
                                  ('.json', json.dumps(line, ensure_ascii=False).encode())):
                member = tarfile.TarInfo(key + suffix)
                member.size = len(block)
                tar.addfile(member, io.BytesIO(block))


def _pairs(options: argparse.Namespace, source: Path) -> Iterator[Pair]:
    if options.urls:
        return read_url_pairs(source)
    return read_file_pairs(source) if options.captions else read_folder_pairs(source)


def _manifest(paths: Sequence[Path], counts: Sequence[int]) -> dict[str, Any]:
    return {'shards': [dict(name=path.name, count=count, sha256=file_sha256(path))
                       for path, count in zip(paths, counts, strict=True)]}


def _digest(pairs: Sequence[Pair]) -> str:
    """Checksum that shows whether the pairs of a shard are those of an earlier run."""
    text = '\n'.join(f'{pair.place}\t{pair.caption}' for pair in pairs)
    return hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()


def _count_lines(path: Path) -> int:
    with path.open('rb') as file:
        return sum(1 for _ in file)


def _loss(pair: Pair, reason: str) -> dict[str, str]:
    return {'source': pair.place, 'reason': reason}


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))


def _from(least: float, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Reads the number of an option and refuses one below ``least``."""

    def number(text: str) -> Any:
        value = kind(text)
        if not value >= least:
            raise argparse.ArgumentTypeError(f'{text} is less than {least}')
        return value

    return number
