"""Captions with machine-made boxes, in shards: jsonl files or WebDataset tar files."""
from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from glipkit.common.reporter import track
from glipkit.data import sample_keys as keys
from glipkit.data.formats.grounding_line import parse_grounding
from glipkit.data.formats.reading import as_size, read_json
from glipkit.data.formats.records import RecordDataset
from glipkit.data.formats.tar_shards import TarShard
from glipkit.data.grounding_dataset import DamagedRecordError
from glipkit.data.line_index import JsonLines
from glipkit.data.transforms.caption_packing import CaptionPacker
from glipkit.errors import UserError
from glipkit.registry import DATASETS

MANIFEST = 'manifest.json'

_WHAT = 'a caption shard'
_OPEN_SHARDS = 64  # file handles and tables that one process holds
_SUFFIXES = ('.jsonl', '.tar')


@DATASETS.register_module()
class CaptionShards(RecordDataset):
    """Captions with scored boxes, as pseudo-labelling of web images gives them.

    A jsonl shard has ODVG grounding lines whose regions carry a ``score`` (a number, or one per
    box); its images are files. A tar shard has ``key.json`` with such a line beside ``key.jpg``
    (or png, webp); its images are read from where they lie, by `LoadImage`, and ``filename`` is
    not needed. Nothing is extracted.

    A ``manifest.json`` beside the shards, ``{"shards": [{"name": "00000.tar", "count": 1000},
    ...]}``, says which shards there are and how many samples each has: a missing or half-written
    one is named, and files that it does not list are left out. Without it all shards of the
    folder are taken.

    These steps of Li et al., CVPR 2022 (maskrcnn_benchmark/data/datasets/caption.py of their code)
    are done: the screening by score, the minimum of boxes, and packing. There, spans are shifted
    when a box vanishes at the image's edge; here they are dropped with their boxes.

    Args:
        ann_file: Folder of the shards, its manifest, or a single shard.
        score_thr: Boxes must score more than this. Tokens of phrases left without box, and of
            the ``ungrounded`` spans of a line, are neither positive nor negative in training.
            None takes boxes as they are, and needs no scores.
        min_boxes: Least number of boxes; training leaves out samples with fewer.
        packing: Arguments of `CaptionPacker`: in training, captions of other samples are added as
            negatives. They are drawn with numpy's global generator, which `MixedDataset` seeds
            per draw. None: no packing.
        **kwargs: Those of `GroundingDataset`; ``data_prefix`` is for jsonl shards. `RecordDataset`
            describes when records are read.

    Raises:
        UserError: A shard that is missing, half-written, or not what the manifest says.
    """

    def __init__(self,
                 ann_file: str,
                 score_thr: float | None = 0.5,
                 min_boxes: int = 1,
                 packing: Mapping[str, Any] | None = None,
                 **kwargs: Any) -> None:
        self.score_thr, self.min_boxes = score_thr, min_boxes
        self.packer = None if packing is None else CaptionPacker(**packing)
        super().__init__(ann_file, **kwargs)

    def open_records(self) -> ShardList:
        """Opens the shards."""
        return ShardList(*find_shards(Path(self.ann_file)))

    def parse(self, row: int, dropped: Counter) -> dict:
        """Sample of one caption."""
        shard, i = self.records.locate(row)
        record, where = shard[i], shard.where(i)
        grounding = _grounding(record, where)
        sizes = {key: as_size(record.get(key), where, key) for key in (keys.HEIGHT, keys.WIDTH)}
        clip = (sizes[keys.WIDTH], sizes[keys.HEIGHT])
        return {
            keys.IMG_ID: row + 1,
            **shard_image(shard, i, record, where, self.image_path),
            **{key: side for key, side in sizes.items() if side is not None},
            **parse_grounding(grounding, _WHAT, clip, where, dropped, self.score_thr)
        }

    def keeps(self, sample: Mapping) -> bool:
        """As in `GroundingDataset`, with at least ``min_boxes`` boxes."""
        return len(sample[keys.INSTANCES]) >= self.min_boxes and super().keeps(sample)

    def _filters(self) -> str:
        return f'min_boxes {self.min_boxes} and {super()._filters()}'

    def draw_sample(self, idx: int) -> dict | None:
        """Sample ``idx``, packed with others' captions in training."""
        sample = super().draw_sample(idx)
        if sample is None or self.test_mode or self.packer is None:
            return sample
        sample[keys.TEXT], (*phrases, ungrounded) = self.packer(
            sample[keys.TEXT], [*sample[keys.PHRASES], sample.get(keys.UNGROUNDED, [])],
            self._draw_caption, np.random)
        return sample | {keys.PHRASES: phrases, keys.UNGROUNDED: ungrounded}

    def _draw_caption(self) -> str | None:
        """Caption of a random sample; None, after a warning, where its record is damaged."""
        idx = int(np.random.randint(len(self)))
        if not self.reads_at_access:
            return self.get_data_info(idx)[keys.TEXT]
        shard, i = self.records.locate(self.data_list[idx])
        try:
            caption = _grounding(shard[i], shard.where(i)).get('caption')
        except UserError as error:
            self._report(DamagedRecordError(error.expected, error.got, error.fix))
            return None
        return caption if isinstance(caption, str) else None


class ShardList:
    """The samples of many shards in a row.

    Only tables of `_OPEN_SHARDS` shards are held at a time, whatever their number.

    Args:
        paths: The shards, in order.
        counts: Samples of each, as the manifest says; None where there is no manifest.

    Raises:
        UserError: A shard that cannot be read or holds another number of samples.
    """

    def __init__(self, paths: list[Path], counts: list[int] | None) -> None:
        self.paths = paths
        self.num_bytes = 0
        found = []
        for i, path in enumerate(track(paths, 'opening shards', unit='shard')):
            shard = _open_shard(path, False)
            if counts is not None and len(shard) != counts[i]:
                raise UserError(f'{counts[i]} samples in {path.name}, as {MANIFEST} says',
                                f'{len(shard)} in {path}', 'write or copy the shard again')
            found.append(len(shard))
            self.num_bytes += shard.num_bytes
        self._ends = list(accumulate(found))
        self._open = lru_cache(_OPEN_SHARDS)(self._open_again)

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != '_open'}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open = lru_cache(_OPEN_SHARDS)(self._open_again)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def locate(self, row: int) -> tuple[JsonLines | TarShard, int]:
        """Shard of a sample, and its index there."""
        shard = bisect_right(self._ends, row)
        return self._open(shard), row - (self._ends[shard - 1] if shard else 0)

    def _open_again(self, shard: int) -> JsonLines | TarShard:
        return _open_shard(self.paths[shard], True)


def find_shards(path: Path) -> tuple[list[Path], list[int] | None]:
    """Paths of the shards of a folder, a manifest or a single file, and their stated counts.

    Raises:
        UserError: None there, or a manifest that names missing ones or cannot be understood.
    """
    if path.is_dir():
        manifest = path / MANIFEST
        if not manifest.exists():
            shards = sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES)
            if not shards:
                raise UserError('a folder with .jsonl or .tar shards', f'{path} without any',
                                'check the path')
            return shards, None
        path = manifest
    if path.suffix in _SUFFIXES:
        return [path], None
    return _read_manifest(path)


def _read_manifest(path: Path) -> tuple[list[Path], list[int]]:
    content = read_json(path, 'a manifest of caption shards')
    entries = content.get('shards') if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries or not all(
            isinstance(e, dict) and isinstance(e.get('name'), str) and type(e.get('count')) is int
            for e in entries):
        raise UserError('a manifest {"shards": [{"name": ..., "count": ...}, ...]}',
                        f'{path}: another structure', 'write name and count of every shard')
    shards = [path.parent / entry['name'] for entry in entries]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise UserError(f'the {len(shards)} shards of {path}',
                        f'{len(missing)} missing: {", ".join(missing[:5])}',
                        'copy them, or remove them from the manifest')
    others = sum(p.suffix in _SUFFIXES for p in path.parent.iterdir()) - len(
        {shard for shard in shards if shard.parent == path.parent})
    if others:
        print_log(f'{path}: {others} shards beside it that it does not list are left out',
                  'current')
    return shards, [entry['count'] for entry in entries]


def shard_image(shard: JsonLines | TarShard, i: int, record: Mapping, where: str,
                image_path: Callable[[str], str], what: str = _WHAT) -> dict[str, Any]:
    """Where the image of a sample is, in the keys of a sample.

    Args:
        shard: Its shard.
        i: Its index there.
        record: Its record.
        where: Its place, for errors.
        image_path: Path of an image that a jsonl names.
        what: Kind of the shard, for errors.

    Raises:
        UserError: A line of a jsonl names no image.
    """
    if isinstance(shard, TarShard):
        name, content = shard.image(i)
        return {keys.IMG_PATH: name, keys.IMG_BYTES: content}
    name = record.get('filename')
    if not isinstance(name, str) or not name:
        raise UserError(f'{what}: a filename per line', f'{where}: {name!r}', 'add it')
    return {keys.IMG_PATH: image_path(name)}


def _open_shard(path: Path, trust: bool) -> JsonLines | TarShard:
    kind = TarShard if path.suffix == '.tar' else JsonLines
    return kind(path, _WHAT, trust)


def _grounding(record: Mapping, where: str) -> Mapping:
    grounding = record.get('grounding')
    if not isinstance(grounding, dict):
        raise UserError(f"{_WHAT}: an object 'grounding'", f'{where}: {grounding!r}',
                        'write shards as ODVG grounding lines')
    return grounding
