"""The stamps world: photographs of real things, cut out, on photo-like backgrounds.

The pictures are the cut-outs of Debian's package tuxpaint-stamps-default, their class names come
from its English captions (:mod:`.stamp_names`). Things are seen, unseen or named in captions alone,
as in the shapes world, and the files are laid out as :mod:`.world` says. Most things have one
photograph only, so a seen thing looks alike in training and validation but for its size, tilt,
light and surroundings; an unseen thing occurs in no training picture.
"""
from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glipkit.common.digests import files_sha256
from glipkit.common.pixels import eight_bits
from glipkit.errors import UserError
from glipkit.worlds.backgrounds import draw_scenery, surface_photographs
from glipkit.worlds.captions import Thing
from glipkit.worlds.patches import Patch, find_place
from glipkit.worlds.stamp_names import spoken_words
from glipkit.worlds.stamp_source import Stamp, digest, find_stamps_dir, list_stamps, unpack_package
from glipkit.worlds.world import World, build_world, check_request

#: Sizes of the demo's world.
DEFAULT_TRAIN_DET = 1200
DEFAULT_TRAIN_GRD = 1200
DEFAULT_VAL = 200
DEFAULT_IMAGE_SIZE = 256
DEFAULT_SEED = 0
#: Fewest and most objects that a picture is planned with; one that finds no room is left out.
OBJECTS = (1, 6)
#: Long side of an object as a share of the picture's side, [lowest, highest].
SCALES = (.17, .9)
#: Cut-outs are enlarged at most so far; some are only 50 pixels wide.
LARGEST_ZOOM = 2.
#: Largest tilt in degrees either way.
TILT = 12.
#: A pixel belongs to an object from this share of its densest pixel on, so that soft shadows stay
#: outside the box and thin things keep one.
VISIBLE = .3
REDRAWS = 4
#: Shares of the things of every folder that are held out, and that captions alone name.
UNSEEN_SHARE = .15
CAPTION_ONLY_SHARE = .1
#: The folders of the grouping 'food'.
FRUIT, VEGETABLES = 'food/fruit', 'food/vegetables'
#: Seed of that choice; a new value makes a new benchmark.
SPLIT_SEED = 2112
#: Raise when drawing, naming or grammar change, so that worlds on disk are made anew.
VERSION = 2


def build(out_dir: str | Path, seed: int = DEFAULT_SEED, num_train_det: int = DEFAULT_TRAIN_DET,
          num_train_grd: int = DEFAULT_TRAIN_GRD, num_val: int = DEFAULT_VAL,
          image_size: int = DEFAULT_IMAGE_SIZE, *, stamps_dir: str | Path | None = None,
          deb: str | Path | None = None, grouping: str = 'all', masks: bool = False,
          workers: int | None = None) -> dict[str, Any]:
    """Make a stamps world on disk; nothing is done where the same one is already complete.

    Args:
        out_dir: Folder of the world; pictures taken from the package are kept in its ``source``.
        seed: Random seed; the groups of things do not depend on it.
        num_train_det: Detection pictures (seen things).
        num_train_grd: Captioned pictures (seen and caption-only things).
        num_val: Validation pictures (all three groups, in equal parts).
        image_size: Side of the pictures in pixels.
        stamps_dir: Stamps folder, or root of an unpacked package. None unpacks the package.
        deb: The package file. None downloads it unless ``source`` has it already.
        grouping: Name from `GROUPINGS`: 'all' takes all things; 'food' has fruit in the detection
            pictures, fruit and vegetables in the captioned ones.
        masks: Whether to write the pixels of things too, see :mod:`.mask_files`.
        workers: Processes that draw; None takes two for many pictures. Has no effect on the result.

    Returns:
        The manifest, with counts per split and group and the package's version and checksum.

    Raises:
        UserError: For impossible numbers, no stamps, or an ``out_dir`` that holds other files.
    """
    if grouping not in GROUPINGS:
        raise UserError(f'a grouping: {", ".join(GROUPINGS)}', repr(grouping), 'choose one')
    out_dir, notes = Path(out_dir), {}
    sizes = dict(train_det=num_train_det, train_grd=num_train_grd, val=num_val)
    check_request('stamps', out_dir, seed, sizes, image_size, workers)
    if stamps_dir is not None:
        stamps = list_stamps(find_stamps_dir(Path(stamps_dir)))
    else:
        source, notes['package'] = unpack_package(out_dir / 'source', deb and Path(deb))
        stamps = list_stamps(source)
    folders = {stamp.name: stamp.folder for stamp in stamps}
    groups = GROUPINGS[grouping](folders)
    shown = {name for names in groups.values() for name in names}
    photographs = surface_photographs()
    settings = dict(version=VERSION, stamps=digest(stamps),
                    backgrounds=files_sha256(photographs))
    if grouping != 'all':
        settings['grouping'] = grouping
    world = World('stamps', groups,
                  {name: folder for name, folder in sorted(folders.items()) if name in shown},
                  SceneDrawer.of([stamp for stamp in stamps if stamp.name in shown], photographs),
                  OBJECTS,
                  settings, notes)
    return build_world(world, out_dir, seed, sizes, image_size, workers, masks)


def choose_groups(folders: Mapping[str, str]) -> dict[str, list[str]]:
    """Share things out to the three groups, evenly over the folders.

    Args:
        folders: Thing -> folder.

    Returns:
        Group -> sorted names. The group of a thing depends on the names alone.
    """
    def key(name: str) -> tuple[str, str]:
        return folders[name], hashlib.sha256(f'{SPLIT_SEED} {name}'.encode()).hexdigest()

    groups: dict[str, list[str]] = dict(seen=[], unseen=[], caption_only=[])
    # Half a step of credit each, out of step with one another.
    unseen, caption_only = .5, .25
    for name in sorted(folders, key=key):
        unseen += UNSEEN_SHARE
        caption_only += CAPTION_ONLY_SHARE
        if unseen >= 1:
            unseen -= 1
            groups['unseen'].append(name)
        elif caption_only >= 1:
            caption_only -= 1
            groups['caption_only'].append(name)
        else:
            groups['seen'].append(name)
    return {group: sorted(names) for group, names in groups.items()}


def fruit_and_vegetables(folders: Mapping[str, str]) -> dict[str, list[str]]:
    """Fruit is seen but for the share of unseen things, vegetables are named in captions alone.

    Args:
        folders: Thing -> folder.

    Returns:
        Group -> sorted names.

    Raises:
        UserError: There is no fruit, or no vegetable.
    """
    fruit, vegetables = ({name: place for name, place in folders.items() if place == folder}
                         for folder in (FRUIT, VEGETABLES))
    if not fruit or not vegetables:
        raise UserError(f'stamps in {FRUIT} and {VEGETABLES}',
                        f'{len(fruit)} and {len(vegetables)}', 'take the whole package')
    unseen = choose_groups(fruit)['unseen']
    return dict(seen=sorted(fruit.keys() - set(unseen)), unseen=unseen,
                caption_only=sorted(vegetables))


#: How things fall into the three groups.
GROUPINGS: dict[str, Callable[[Mapping[str, str]], dict[str, list[str]]]] = {
    'all': choose_groups, 'food': fruit_and_vegetables}


@dataclass(frozen=True)
class SceneDrawer:
    """Draws pictures of named things; a plain object so that it can travel to other processes.

    Args:
        stamps: Thing -> its cut-outs.
        photographs: Photographs of surfaces for the backgrounds; none draws them all.
    """
    stamps: Mapping[str, Sequence[Stamp]]
    photographs: Sequence[Path] = ()

    @classmethod
    def of(cls, stamps: Sequence[Stamp], photographs: Sequence[Path] = ()) -> SceneDrawer:
        """Sort stamps by name."""
        by_name = defaultdict(list)
        for stamp in stamps:
            by_name[stamp.name].append(stamp)
        return cls(dict(by_name), tuple(photographs))

    def __call__(self, names: Sequence[str], image_size: int,
                 rng: np.random.Generator) -> tuple[Image.Image, list[Thing]]:
        """Draw as many of the named things as find room, at least the first.

        Returns:
            The picture, RGB, and what is in it, with boxes tight around each whole object.
        """
        canvas = draw_scenery(image_size, rng, self.photographs)
        things: list[Thing] = []
        for name in names:
            stamps = self.stamps[name]
            for _ in range(REDRAWS):
                patch = cut_patch(stamps[rng.integers(len(stamps))], image_size, rng)
                place = find_place(patch, image_size, [thing.box for thing in things], rng)
                if place is not None:
                    patch.paste(canvas, *place)
                    things.append(Thing(spoken_words(name), patch.box_at(*place),
                                        patch.cover_at(*place)))
                    break
        canvas += rng.uniform(0, 5) * rng.standard_normal(canvas.shape, np.float32)
        return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)), things


def cut_patch(stamp: Stamp, image_size: int, rng: np.random.Generator) -> Patch:
    """A cut-out with random size, tilt, side and light.

    Args:
        stamp: The photograph.
        image_size: Side in pixels of the picture that it is meant for.
        rng: Random generator.
    """
    picture = load_cutout(stamp.path)
    low, high = np.log(SCALES)
    zoom = min(np.exp(rng.uniform(low, high)) * image_size / max(picture.size), LARGEST_ZOOM)
    size = tuple(max(1, round(edge * zoom)) for edge in picture.size)
    picture = picture.resize(size, Image.LANCZOS, reducing_gap=3.)
    if stamp.may_mirror and rng.random() < .5:
        picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
    picture = picture.rotate(rng.uniform(-TILT, TILT), Image.BICUBIC, expand=True)
    pixels = np.asarray(picture, np.float32)
    alpha = pixels[..., 3:] / 255
    contrast = rng.uniform(.8, 1.15)
    gains = (rng.uniform(.8, 1.15) * rng.uniform(.95, 1.05, 3)).astype(np.float32)
    light = np.clip(((pixels[..., :3] - 128) * contrast + 128) * gains, 0, 255)
    visible = alpha[..., 0] >= VISIBLE * alpha.max()
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return Patch(light * alpha, alpha, box)


@lru_cache(maxsize=1024)
def load_cutout(path: Path) -> Image.Image:
    """The cut-out without its empty margin, RGBA, at most 512 pixels long.

    Raises:
        UserError: The picture is wholly transparent, or its pixels have 32 bits.
    """
    with Image.open(path) as file:
        try:
            picture = eight_bits(file).convert('RGBA')
        except ValueError as error:
            raise UserError('a stamp of 8 or 16 bits', f'{path}: {error}',
                            'save it as an 8-bit PNG') from error
    alpha = np.asarray(picture.getchannel('A'))
    if not alpha.any():
        raise UserError('a stamp with something to see', f'{path}, which is wholly transparent',
                        'remove it from the stamps folder')
    covered = Image.fromarray(alpha >= VISIBLE * alpha.max())
    picture = picture.crop(covered.getbbox())
    picture.thumbnail((512, 512), Image.LANCZOS)
    return picture
