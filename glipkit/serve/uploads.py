"""Images that come over the network: encoded bytes, never a name of a file or an address."""
from __future__ import annotations

import base64
import binascii
import io
import re
from typing import BinaryIO

from PIL import Image

from glipkit.apis.images import unreadable
from glipkit.errors import UserError
from glipkit.serve.limits import Limits, TooLarge

#: Formats that are opened, in Pillow's names; others that it knows run programs or read files.
FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP')
_DATA_URL = re.compile(r'data:(?:image/[\w.+-]+)?(?:;[\w=.-]+)*;base64,', re.ASCII | re.IGNORECASE)


def open_image(content: bytes | BinaryIO, limits: Limits, name: str = 'the image') -> Image.Image:
    """An image of which only the header was read; close it after use.

    Args:
        content: The encoded image.
        limits: Of its size.
        name: What messages call it.

    Raises:
        TooLarge: It has too many pixels.
        UserError: It is no image.
    """
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        image = Image.open(stream, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooLarge(f'an image of at most {limits.max_pixels} pixels',
                       f'{name} with far more', 'make it smaller') from error
    except Exception as error:  # every format has errors of its own
        raise unreadable(name, error) from error
    try:
        limits.check_size(*image.size)
    except TooLarge:
        image.close()
        raise
    return image


def from_base64(text: str) -> bytes:
    """The bytes of a base64 text, alone or in a data URL.

    Raises:
        UserError: It is something else, such as a path or an address, which nobody reads here.
    """
    head = _DATA_URL.match(text)
    body = text[head.end():] if head else text
    try:
        return base64.b64decode(re.sub(r'\s', '', body), validate=True)
    except (ValueError, binascii.Error) as error:
        raise UserError('an image in base64, or as a data URL', f'{text[:40]!r} ({error})',
                        'send the content of the file; nothing is read from paths and addresses '
                        'here') from error
