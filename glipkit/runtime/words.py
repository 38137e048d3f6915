"""What a model knows of words, in a file beside a graph that takes it as an input."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from glipkit.errors import UserError
from glipkit.files import write_encoded

FORMAT = 'glipkit-words-1'


@dataclass(frozen=True)
class Words:
    """The words of one question, as the model that they were made with takes them.

    Attributes:
        classes: Names in the order of their labels.
        starts: Label at which each prompt starts.
        weights: SHA-256 of the model's weights.
        tensors: Input of the graph -> its value.
        exclusive: See `Description.exclusive`.
    """

    classes: tuple[str, ...]
    starts: tuple[int, ...]
    weights: str
    tensors: Mapping[str, np.ndarray]
    exclusive: tuple[tuple[int, ...], ...] = ()

    def write(self, path: str | Path) -> None:
        """Writes the file, which appears complete or not at all.

        Raises:
            UserError: Nothing can be written there.
        """
        about = json.dumps(dict(format=FORMAT, classes=self.classes, starts=self.starts,
                                weights=self.weights, exclusive=self.exclusive),
                           ensure_ascii=False)
        write_encoded(path, lambda file: np.savez(file, about=np.array(about), **self.tensors))

    @classmethod
    def read(cls, path: str | Path) -> Words:
        """Reads a file.

        Raises:
            UserError: It is damaged or of another kind.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                tensors = {name: file[name] for name in file.files}
            about = json.loads(str(tensors.pop('about')))
            if about['format'] != FORMAT:
                raise ValueError('another format')
            return cls(tuple(about['classes']), tuple(about['starts']), about['weights'], tensors,
                       tuple(map(tuple, about.get('exclusive', ()))))
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise UserError('words that glipkit export wrote (.npz)', f'{path} ({error})',
                            'make them again with glipkit export --format words') from error
