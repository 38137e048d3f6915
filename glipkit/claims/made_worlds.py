"""What benchmarks on the two made worlds share: their folder, and what their command line takes."""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class WorldsSetup:
    """Where a run keeps its worlds, weights and results.

    Args:
        folder: Folder of the run.
        pictures: Training pictures of each kind.
        val_pictures: Pictures to score on.
    """

    folder: Path
    pictures: int
    val_pictures: int

    def identity(self) -> dict[str, Any]:
        """What the results of a seed depend on."""
        return {key: value for key, value in vars(self).items() if key != 'folder'}

    @property
    def world(self) -> Path:
        """Folder of the things world."""
        return self.folder / 'things'

    @property
    def stamps(self) -> Path:
        """Folder of the stamps world."""
        return self.folder / 'stamps'

    def weights(self, model: str, seed: int) -> Path:
        """Weights file of a model, written or not."""
        return self.folder / 'models' / f'{model}-{seed}.safetensors'

    def result(self, unit: str, seed: int) -> Path:
        """Result file of a unit, written or not."""
        return self.folder / 'units' / f'{unit}-{seed}.json'


def add_worlds_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers seeds, numbers of pictures, and where the photographs come from."""
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='N',
                        help='seeds of weights and order (default: 0 1 2)')
    parser.add_argument('--pictures', type=int, nargs=2, default=[800, 200],
                        metavar=('TRAIN', 'VAL'),
                        help='pictures to train on, of each kind, and to score on (default: 800 '
                             '200)')
    parser.add_argument('--stamps', type=Path, metavar='DIR',
                        help='stamps folder, or folder of an unpacked package (default: download '
                             'it with apt-get)')
    parser.add_argument('--no-photographs', action='store_true',
                        help='leave out the photographs, which are no part of this package')
