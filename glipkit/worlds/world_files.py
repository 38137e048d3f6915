"""The files of a generated world; see world.py for the layout."""
from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from glipkit.errors import UserError
from glipkit.files import make_folder, write_encoded, write_text
from glipkit.runs.folder import kept_manifest
from glipkit.worlds.captions import Region, Thing

JPEG_QUALITY = 92


@dataclass(frozen=True)
class Picture:
    """One finished picture of a split, as the annotation files describe it.

    Args:
        number: 1, 2, ... within its split; the COCO image id.
        width: Pixels.
        height: Pixels.
        things: All objects, in drawing order.
        caption: One caption.
        regions: The caption's phrases.
        segments: Where masks are wanted, what is seen of the things, as of ``segments_info``.
    """
    number: int
    width: int
    height: int
    things: tuple[Thing, ...]
    caption: str
    regions: tuple[Region, ...]
    segments: tuple[dict[str, Any], ...] = ()

    @property
    def file_name(self) -> str:
        """Relative to the folder of the split."""
        return f'{self.number:06d}.jpg'


def read_manifest(out_dir: Path, world: str) -> dict[str, Any] | None:
    """The manifest of a world made earlier, or None where ``out_dir`` is free to use.

    Raises:
        UserError: ``out_dir`` holds files that this kind of world did not write.
    """
    manifest = kept_manifest(out_dir / 'manifest.json', 'world', world, f'the {world} world',
                             {'settings': dict, 'complete': bool})
    if manifest is None:
        for name in ('images', 'annotations'):
            if (out_dir / name).exists():
                raise UserError('a new folder, or one made by this command',
                                f'{out_dir / name} of unknown origin',
                                'choose another output folder')
    return manifest


def start(out_dir: Path, manifest: Mapping[str, Any]) -> None:
    """Mark a world as incomplete and clear what an earlier one left in its place."""
    make_folder(out_dir)
    write_manifest(out_dir, manifest)
    for name in ('annotations', 'images'):
        if (out_dir / name).exists():
            shutil.rmtree(out_dir / name)
        (out_dir / name).mkdir()


def save_image(image: Image.Image, path: Path) -> None:
    """Write a JPEG whose colours are not thinned out, atomically."""
    make_folder(path.parent)
    write_encoded(path, lambda file: image.save(file, format='JPEG', quality=JPEG_QUALITY,
                                                subsampling=0))


def write_manifest(out_dir: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest.json``, atomically."""
    write_text(out_dir / 'manifest.json', json.dumps(manifest, indent=1, ensure_ascii=False))


def write_annotations(out_dir: Path, pictures: Mapping[str, Sequence[Picture]],
                      groups: Mapping[str, Sequence[str]],
                      supercategories: Mapping[str, str], masks: bool = False) -> None:
    """Write all annotation files.

    Args:
        out_dir: Folder of the world.
        pictures: Split -> its pictures.
        groups: Group -> category names.
        supercategories: Category name -> supercategory; a category's id is its rank here,
            from 1, and the same in every file.
        masks: Whether to write the panoptic files too.
    """
    folder = out_dir / 'annotations'
    categories = [dict(id=rank, name=name, supercategory=above)
                  for rank, (name, above) in enumerate(supercategories.items(), start=1)]
    seen = set(groups['seen'])
    _write_json(folder / 'det_train.json', coco(
        pictures['train_det'], [item for item in categories if item['name'] in seen]))
    _write_json(folder / 'val.json', coco(pictures['val'], categories))
    for split, name in (('train_grd', 'grd_train.jsonl'), ('val', 'val_grd.jsonl')):
        lines = (json.dumps(odvg(item), ensure_ascii=False) for item in pictures[split])
        write_text(folder / name, ''.join(line + '\n' for line in lines))
    if masks:
        for split, items in pictures.items():
            _write_json(folder / f'panoptic_{split}.json', panoptic(items, categories))
        write_text(folder / 'classes.txt', ''.join(f'{item["name"]}\n' for item in categories))
    _write_json(folder / 'splits.json', {name: list(names) for name, names in groups.items()})


def coco(pictures: Iterable[Picture], categories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """COCO detection annotations, boxes as [x, y, w, h]."""
    ids = {item['name']: item['id'] for item in categories}
    images, annotations = [], []
    for picture in pictures:
        images.append(dict(id=picture.number, file_name=picture.file_name, width=picture.width,
                           height=picture.height))
        for thing in picture.things:
            x1, y1, x2, y2 = thing.box
            annotations.append(dict(
                id=len(annotations) + 1, image_id=picture.number, category_id=ids[thing.name],
                bbox=[x1, y1, x2 - x1, y2 - y1], area=(x2 - x1) * (y2 - y1), iscrowd=0))
    return dict(images=images, annotations=annotations, categories=list(categories))


def panoptic(pictures: Iterable[Picture],
             categories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """COCO panoptic annotations; PNGs are named as the pictures are."""
    pictures = list(pictures)
    return dict(
        images=[dict(id=item.number, file_name=item.file_name, width=item.width,
                     height=item.height) for item in pictures],
        annotations=[dict(image_id=item.number, segments_info=list(item.segments),
                          file_name=Path(item.file_name).with_suffix('.png').name)
                     for item in pictures],
        categories=[dict(category, isthing=1) for category in categories])


def odvg(picture: Picture) -> dict[str, Any]:
    """One ODVG grounding line; the box of a region with several objects is a list of boxes."""
    regions = [dict(bbox=list(region.boxes[0]) if len(region.boxes) == 1
                    else [list(box) for box in region.boxes],
                    phrase=region.phrase, tokens_positive=[list(span) for span in region.spans])
               for region in picture.regions]
    return dict(filename=picture.file_name, height=picture.height, width=picture.width,
                grounding=dict(caption=picture.caption, regions=regions))


def count(pictures: Mapping[str, Sequence[Picture]],
          groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Counts for the report: per split pictures and boxes, per group instances and the rarest."""
    counts: dict[str, Any] = {}
    for split, items in pictures.items():
        names = Counter(thing.name for item in items for thing in item.things)
        counts[split] = dict(pictures=len(items), boxes=sum(names.values()))
        if split.endswith('grd'):
            counts[split]['regions'] = sum(len(item.regions) for item in items)
        for group, members in groups.items():
            boxes = [names[name] for name in members]
            if sum(boxes):
                counts[split][group] = dict(categories=len(boxes), boxes=sum(boxes),
                                            rarest_category=min(boxes))
    return counts


def _write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, ensure_ascii=False))
