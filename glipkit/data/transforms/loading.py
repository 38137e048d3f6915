"""Images from files of their own, and from inside tar and tsv files."""
from __future__ import annotations

import io
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from PIL import Image, ImageOps

from glipkit.common.pixels import eight_bits, is_deep, upper_bits
from glipkit.registry import TRANSFORMS

_BASELINE_TO_PROGRESSIVE = (0xC0, 0xC1, 0xC2)
_ADOBE = 0xEE
_HAS_NO_LENGTH = (0x01, *range(0xD0, 0xD8))


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` that also takes the encoded image from the sample.

    Decodes ``img_bytes`` where the sample has them (bytes, or an object whose ``read()`` gives
    them) and the file ``img_path`` elsewhere. Sets ``img``, (H, W, 3) BGR turned upright by its
    EXIF mark, ``img_shape`` and ``ori_shape``; removes ``img_bytes``. Of 16-bit pixels the upper 8
    bits count; mmcv clips greys of 16 bits to white.

    Args:
        imdecode_backend: 'pillow', as maskrcnn-benchmark; 'cv2', which fills missing parts of a
            damaged JPEG with grey; or 'fast': OpenCV where its pixels equal Pillow's (complete
            colour JPEGs without EXIF), in half the time, and Pillow elsewhere.
        **kwargs: ``to_float32``, ``color_type`` and ``backend_args`` of ``LoadImageFromFile``.

    Raises:
        Exception: Any error of the decoder for a damaged image; datasets turn it into an
            ``UnreadableImageError``.
    """

    def __init__(self, imdecode_backend: str = 'pillow', **kwargs: Any) -> None:
        super().__init__(imdecode_backend=imdecode_backend, **kwargs)

    def transform(self, results: dict) -> dict | None:
        """Loads one image."""
        content = results.pop('img_bytes', None)
        if content is None:
            content = fileio.get(results['img_path'], backend_args=self.backend_args)
        elif not isinstance(content, bytes):
            content = content.read()
        backend = self.imdecode_backend
        if backend == 'fast':
            backend = 'cv2' if is_plain_jpeg(content) else 'pillow'
        image = decode_image(content, self.color_type, backend)
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


def load_image(step: LoadImageFromFile, results: dict) -> dict | None:
    """Runs a step that reads images; mmcv's own one without clipping pixels of 16 bits.

    Raises:
        Exception: As `LoadImage`.
    """
    if type(step) is not LoadImageFromFile or step.file_client_args is not None:
        return step(results)
    own = LoadImage(step.imdecode_backend, to_float32=step.to_float32,
                    color_type=step.color_type, backend_args=step.backend_args)
    try:
        return own(results)
    except Exception:
        if step.ignore_empty:
            return None
        raise


def decode_image(content: bytes, flag: str = 'color', backend: str | None = 'pillow') -> np.ndarray:
    """``mmcv.imfrombytes``, with the upper bits of pixels that are deeper than 8 bits.

    Raises:
        Exception: Whatever the decoder answers; ValueError for pixels of an unknown range.
    """
    if backend == 'pillow' and flag != 'unchanged':
        with Image.open(io.BytesIO(content)) as image:
            if is_deep(image):
                if not flag.endswith('ignore_orientation'):
                    image = _upright(image)
                grey = np.array(eight_bits(image))
                return grey if flag.startswith('grayscale') else np.repeat(grey[..., None], 3, 2)
    image = mmcv.imfrombytes(content, flag=flag, backend=backend)
    if image is None:  # what cv2 gives for no image
        raise ValueError('cannot be decoded')
    return upper_bits(image) if image.dtype == np.uint16 else image


def _upright(image: Image.Image) -> Image.Image:
    turned = ImageOps.exif_transpose(image)
    turned.format = image.format  # which tells the range of some modes
    return turned


def is_plain_jpeg(content: bytes) -> bool:
    """Whether this is a whole JPEG of three 8-bit YCbCr channels without EXIF.

    Reads the segments before the frame header (ITU T.81, annex B); anything unusual there means
    False.
    """
    if content[:2] != b'\xff\xd8' or content[-2:] != b'\xff\xd9':
        return False
    i = 2
    while i + 9 < len(content) and content[i] == 0xFF:
        marker = content[i + 1]
        if marker in _HAS_NO_LENGTH:
            return False
        length = int.from_bytes(content[i + 2:i + 4], 'big')
        body = content[i + 4:i + 2 + length]
        if marker in _BASELINE_TO_PROGRESSIVE:
            return body[0] == 8 and body[5] == 3
        if body[:4] == b'Exif' or marker == _ADOBE and body[:5] == b'Adobe':
            return False
        i += 2 + length
    return False
