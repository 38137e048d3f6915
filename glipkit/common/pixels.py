"""Pictures of more than 8 bits per channel, which libraries clip to white instead of scaling."""
from __future__ import annotations

import numpy as np
from PIL import Image

#: Formats whose 16-bit greys some releases of Pillow open in the mode of 32 bits.
_GREYS_OF_16_BITS = ('PNG', 'PPM')


def is_deep(image: Image.Image) -> bool:
    """Whether the channels of a picture have more than 8 bits."""
    return image.mode in ('I', 'F') or image.mode.startswith('I;16')


def eight_bits(image: Image.Image) -> Image.Image:
    """The picture with 8 bits per channel: of 16 bits the upper ones, as decoders do with colour.

    Pictures that are no deeper come back as they are.

    Raises:
        ValueError: Pixels of 32 bits or floats: nobody knows which value is white.
    """
    if not is_deep(image):
        return image
    if image.mode in ('I', 'F') and (image.mode, image.format) not in [
            ('I', name) for name in _GREYS_OF_16_BITS]:
        raise ValueError(f'pixels of 32 bits (mode {image.mode}), of which nobody knows what is '
                         'white; save them with 8 or 16 bits')
    return Image.fromarray(upper_bits(np.asarray(image)))


def upper_bits(pixels: np.ndarray) -> np.ndarray:
    """Whole numbers up to 65535 as uint8, 65535 as 255."""
    return (pixels >> 8).clip(0, 255).astype(np.uint8)
