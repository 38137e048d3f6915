"""A tiny made-up stamps folder, so that the stamps world can be tested without the package."""
from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

#: Stamp -> caption.
TOYS = {
    'food/fruit/apple_a': 'A red apple.', 'food/fruit/apple_b': 'A green apple.',
    'food/fruit/banana2': 'A banana, which is yellow.', 'food/fruit/plum': 'A plum.',
    'food/vegetables/leek': 'A leek.', 'food/vegetables/onion': 'An onion.',
    'food/nuts/hazelnut': 'A hazelnut!', 'animals/birds/wren': 'A wren.',
    'animals/birds/wren2': 'A wren.', 'animals/birds/finch': 'A finch (a small bird).',
    'animals/fish/carp': 'A carp.', 'animals/fish/pike': 'A pike.',
    'household/lamp': 'A lamp.', 'household/tongs': 'A pair of tongs.',
    'town/roadsigns/halt_sign': 'A “Halt” sign.', 'town/roadsigns/bend': 'A bend sign.',
    # The rest must never be used.
    'military/tank': 'A tank.', 'seasonal/winter/sledge': 'A sledge.',
    'symbols/chess/rook': 'A rook.', 'animals/insects/ant': 'An ant.',
    'animals/birds/cartoon/parrot': 'A parrot.', 'symbols/alphabets/a': 'The letter A.',
    'food/fruit/speech': 'Remember to eat fruit and wash it well!'}


def draw_toy_stamps(folder: Path) -> Path:
    """Write the stamps of TOYS as PNGs with alpha, each with its caption beside it.

    Road signs carry the setting that forbids to mirror them.

    Returns:
        ``folder``.
    """
    for rank, (stamp, caption) in enumerate(TOYS.items()):
        path = folder / f'{stamp}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new('RGBA', (60 + 3 * rank, 50))
        tint = (rank * 53 % 256, rank * 97 % 256, rank * 151 % 256, 255)
        ImageDraw.Draw(picture).ellipse((8, 6, 50 + 3 * rank, 42), fill=tint)
        picture.save(path)
        path.with_suffix('.txt').write_text(f'{caption}\nde.utf8=Etwas.\n', encoding='utf-8')
        if 'roadsigns' in stamp:
            path.with_suffix('.dat').write_text('nomirror\n', encoding='utf-8')
    return folder
