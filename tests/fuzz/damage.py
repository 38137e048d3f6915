"""Ways in which annotation files and images break, each drawn from a generator."""
from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.fuzz.worlds import HEIGHT, WIDTH, World, picture

_NUMBERS = [float('nan'), float('inf'), -float('inf'), 1e308, -1e308, 10**400, -7, 0, 0.5, 2**63]
_OTHERS = [None, True, '', 'x', '\ud800', '12', [], {}, [[]], [[0, 1]], [0, 0, 0, 0], {'id': 1},
           [None] * 4, ['a', 'b', 'c', 'd'], '(only this)', '犬🐕', '\0', 'Red  Dog']
_KEYS = ['id', 'bbox', 'images', 'x', '', 'tokens_positive', 'caption', 'label']


def damage(world: World, rng: random.Random) -> tuple[bytes, list[str]]:
    """Damages a world in one to three ways.

    Args:
        world: Its documents, images and other files are changed in place.
        rng: Draws everything.

    Returns:
        The main file, and the names of what was done.
    """
    done = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        stage = rng.choices(['document', 'image', 'extra'], [5, 4, 1])[0]
        if stage == 'extra' and world.extra:
            name = rng.choice(sorted(world.extra))
            world.extra[name], what = _damage_bytes(world.extra[name], rng)
            done.append(f'{name}: {what}')
        elif stage == 'image':
            done.append(_damage_image(world, rng))
        else:
            done.append(_damage_document(world, rng))
    content = world.encode()
    if rng.random() < 0.25:
        content, what = _damage_bytes(content, rng)
        done.append(what)
    return content, done


def _damage_document(world: World, rng: random.Random) -> str:
    places = _places(world.documents)
    # By name first: else most of the damage would fall on coordinates, which are most numerous.
    name = rng.choice(sorted({_key_name(key) for _, key in places}))
    container, key = rng.choice([place for place in places if _key_name(place[1]) == name])
    operation = rng.choice(_OPERATIONS)
    if rng.random() < 0.3:  # a box that is still one
        numbers = [place for place in places if isinstance(place[0], list) and len(place[0]) == 4
                   and type(place[0][place[1]]) in (int, float)]
        container, key = rng.choice(numbers or places)
        operation = rng.choice([_shift, _negate, _exchange])
    try:
        operation(container, key, rng)
    except (TypeError, AttributeError, KeyError, ValueError):
        if key in (container if isinstance(container, dict) else range(len(container))):
            container[key] = None  # the operation does not suit the value
    if not world.documents:
        world.documents.append({})
    return f'{operation.__name__[1:]} {key!r}'


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    if isinstance(value, dict):
        items: Any = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return []
    return [place for key, child in items for place in [(value, key), *_places(child)]]


def _key_name(key: Any) -> str:
    return key if isinstance(key, str) else '[]'


def _remove(container: Any, key: Any, rng: random.Random) -> None:
    del container[key]


def _rename(container: Any, key: Any, rng: random.Random) -> None:
    container[rng.choice(_KEYS)] = container.pop(key)


def _retype(container: Any, key: Any, rng: random.Random) -> None:
    container[key] = rng.choice(_OTHERS)


def _renumber(container: Any, key: Any, rng: random.Random) -> None:
    container[key] = rng.choice(_NUMBERS)


def _negate(container: Any, key: Any, rng: random.Random) -> None:
    container[key] = -container[key]


def _shift(container: Any, key: Any, rng: random.Random) -> None:
    value = container[key]
    container[key] = value + rng.choice([-30, -3, 1, 17, 1000]) if type(value) in (int, float) \
        else value * 2


def _repeat(container: Any, key: Any, rng: random.Random) -> None:
    container.insert(rng.randrange(len(container) + 1), container[key])


def _nest(container: Any, key: Any, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 5, 200])):
        container[key] = [container[key]]


def _stringify(container: Any, key: Any, rng: random.Random) -> None:
    container[key] = str(container[key])


def _exchange(container: Any, key: Any, rng: random.Random) -> None:
    other = rng.choice(list(container) if isinstance(container, dict) else range(len(container)))
    container[key], container[other] = container[other], container[key]


_OPERATIONS: list[Callable[[Any, Any, random.Random], None]] = [
    _remove, _rename, _retype, _renumber, _negate, _shift, _repeat, _nest, _stringify, _exchange]


def _damage_bytes(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    what = rng.choice(['cut', 'flip', 'insert', 'utf-16', 'latin-1', 'bom', 'empty', 'deep',
                       'digits', 'key twice', 'crlf', 'blank lines', 'garbage'])
    at = rng.randrange(len(content) + 1)
    if what == 'cut':
        content = content[:at]
    elif what == 'flip':
        data = bytearray(content)
        for _ in range(rng.choice([1, 3, 20]) if data else 0):
            data[rng.randrange(len(data))] = rng.randrange(256)
        content = bytes(data)
    elif what == 'insert':
        content = content[:at] + rng.randbytes(rng.choice([1, 8, 600])) + content[at:]
    elif what == 'utf-16':
        content = content.decode('latin-1').encode('utf-16')
    elif what == 'latin-1':
        content = content.replace(b'\\u00ef', b'\xef').replace(b'cat', b'c\xe4t')
    elif what == 'bom':
        content = b'\xef\xbb\xbf' + content
    elif what == 'empty':
        content = rng.choice([b'', b' \n', b'{}', b'[]', b'null', b'\0' * 50])
    elif what == 'deep':
        content = content[:at] + b'[' * 100_000 + content[at:]
    elif what == 'digits':
        content = content.replace(b'30', b'3' * 5000, 1)
    elif what == 'key twice':
        key = rng.choice([b'"images": [], ', b'"id": 1, ', b'"caption": "b", ', b'"bbox": 3, '])
        content = content.replace(b'{', b'{' + key, rng.choice([1, 3]))
    elif what == 'crlf':
        content = content.replace(b'\n', b'\r\n')
    elif what == 'blank lines':
        content = content.replace(b'\n', b'\n \n\n')
    else:
        content = rng.randbytes(rng.choice([3, 300]))
    return content, what


def _damage_image(world: World, rng: random.Random) -> str:
    name = rng.choice(sorted(world.images) or [''])
    if not name:
        return 'no image left'
    what, content = _image(world.images[name], rng)
    if content is None and world.kind not in ('shards-tar', 'tsv'):
        del world.images[name]
    else:
        world.images[name] = content or b''
    if world.kind == 'tsv':
        _rewrite_image_table(world)
    return f'{name}: {what}'


def _rewrite_image_table(world: World) -> None:
    import base64
    world.extra['images.tsv'] = b''.join(b'%d\t%s\n' % (i, base64.b64encode(content))
                                         for i, content in enumerate(world.images.values()))


def _image(content: bytes, rng: random.Random) -> tuple[str, bytes | None]:
    """What was done, and the image; None where the file goes."""
    what = rng.choice(['missing', 'zero', 'cut', 'text', 'flip', 'cmyk', 'grey', '16 bit',
                       'palette', 'animated', 'turned', 'large header', 'alpha', 'jpeg cut',
                       'other size', 'tiff float'])
    seed = rng.randrange(1000)
    if what == 'missing':
        return what, None
    if what == 'zero':
        return what, b''
    if what == 'cut':
        return what, content[:rng.randrange(len(content) + 1)]
    if what == 'text':
        return what, b'<html>not found</html>'
    if what == 'flip':
        data = bytearray(content)
        for _ in range(rng.choice([1, 40]) if data else 0):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return what, bytes(data)
    if what == 'large header':
        return what, _png_header(60_000, 60_000)
    if what == 'jpeg cut':
        jpeg = picture(seed, form='JPEG')
        return what, jpeg[:rng.randrange(20, len(jpeg))]
    return what, _odd_image(what, seed)


def _odd_image(what: str, seed: int) -> bytes:
    if what == 'cmyk':
        return picture(seed, 'CMYK', 'JPEG')
    if what in ('grey', 'palette', 'alpha'):
        return picture(seed, {'grey': 'L', 'palette': 'P', 'alpha': 'LA'}[what])
    if what == 'turned':
        exif = Image.Exif()
        exif[0x0112] = 6
        return picture(seed, form='JPEG', exif=exif)
    file = io.BytesIO()
    if what == '16 bit':
        noise = np.random.default_rng(seed).integers(0, 2**16, (HEIGHT, WIDTH), dtype=np.uint16)
        Image.fromarray(noise).save(file, 'PNG')
    elif what == 'tiff float':
        Image.fromarray(np.zeros((HEIGHT, WIDTH), dtype=np.float32)).save(file, 'TIFF')
    elif what == 'animated':
        frames = [Image.new('RGB', (WIDTH, HEIGHT), (i * 80, 0, 0)) for i in range(3)]
        frames[0].save(file, 'GIF', save_all=True, append_images=frames[1:])
    else:
        Image.new('RGB', (2 * WIDTH, HEIGHT), (1, 2, 3)).save(file, 'PNG')
    return file.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """A PNG that promises more pixels than any memory holds."""
    import struct
    import zlib
    head = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + head
            + struct.pack('>I', zlib.crc32(head)))


def count_boxes(world: World, content: bytes) -> int | None:
    """Boxes in a damaged main file, counted by the letter; None where that cannot be told."""
    try:
        return _COUNTERS[world.kind](content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _count_annotations(content: bytes) -> int:
    return len(json.loads(content)['annotations'])


def _count_instances(content: bytes) -> int:
    lines = [json.loads(line) for line in content.splitlines() if line.strip()]
    return sum(len(line['detection'].get('instances', [])) for line in lines)


def _count_regions(content: bytes) -> int:
    total = 0
    for line in content.splitlines():
        if line.strip():
            for region in json.loads(line)['grounding'].get('regions', []):
                box = region['bbox']
                total += len(box) if all(isinstance(b, list) for b in box) else 1
    return total


def _count_rects(content: bytes) -> int:
    total = 0
    for line in content.splitlines():
        value = json.loads(line.split(b'\t')[1])
        total += len(value['objects'] if isinstance(value, dict) else value)
    return total


def _unknown(content: bytes) -> int:
    raise ValueError('not counted')


_COUNTERS = {'coco': _count_annotations, 'lvis': _count_annotations,
             'mdetr': _count_annotations, 'flickr': _count_annotations,
             'odvg-detection': _count_instances, 'odvg-grounding': _count_regions,
             'shards-jsonl': _count_regions, 'shards-tar': _unknown, 'tsv': _count_rects}
