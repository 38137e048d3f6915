"""The model index: which config, weights, licence and published numbers belong to a name.

The index is ``configs/index.yaml``. A config does not hold its name: a user's config that builds on
one of ours would inherit the name, and with it weights that are not its own.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from glipkit.common.paths import INDEX, PACKAGE, config_root


@dataclass(frozen=True)
class HubFile:
    """A checkpoint on the Hugging Face hub.

    Args:
        repository: ``owner/name``.
        file: Path in the repository.
        size: Size as the hub lists it.
        sha256: Digest that the file must have; empty for what the hub says, or the first download.
    """

    repository: str
    file: str
    size: str = ''
    sha256: str = ''

    def __str__(self) -> str:
        """The name that :func:`glipkit.load` takes as a checkpoint."""
        return f'{self.repository}:{self.file}'


@dataclass(frozen=True)
class ModelEntry:
    """One model that comes with glipkit.

    Args:
        name: Name that :func:`glipkit.load` takes.
        about: Short description.
        config: Config of the model.
        layout: Layout of its weights.
        licence: ``code`` and ``weights`` -> licence that their authors state.
        published: Metric -> number.
        weights: File that comes with glipkit; None where there is none.
        sources: Files on the hub from which its weights can be downloaded, in the order to try.
        elsewhere: Where weights are that neither come with glipkit nor are on the hub.
        files: Names of published files that the user may put into the folder of weights; without
            any, those of the sources.
        recipes: Other configs that train it or a variation of it. They have no weights.
        default: Whether calls and commands take this model when none is named.
    """

    name: str
    about: str
    config: Path
    layout: str
    licence: Mapping[str, str]
    published: Mapping[str, float]
    weights: Path | None = None
    sources: tuple[HubFile, ...] = ()
    elsewhere: str = ''
    files: tuple[str, ...] = ()
    recipes: tuple[Path, ...] = ()
    default: bool = False


def model_index() -> dict[str, ModelEntry]:
    """Every model that comes with glipkit, by name, in alphabetical order."""
    root = config_root()
    found = _parsed(root / INDEX)
    return {name: _entry(name, found[name], root) for name in sorted(found)}


def default_model() -> str:
    """Name of the model that calls and commands take when none is named."""
    return next(name for name, entry in model_index().items() if entry.default)


def entry_of(name_or_path: str | Path) -> ModelEntry | None:
    """The entry of a model name, or of the config that the index has under a name.

    None for every other config: one that builds on the config of a model may be another model.
    """
    index = model_index()
    if str(name_or_path) in index:
        return index[str(name_or_path)]
    path, root = Path(name_or_path), config_root()
    # A config of ours may be named as in the documentation from any working directory.
    places = [path] if path.is_file() else [root.parent / path, root / path]
    found = {place.resolve() for place in places}
    return next((entry for entry in index.values() if entry.config.resolve() in found), None)


def model_name(name_or_path: str | Path) -> str:
    """The name that the index has for a name or config, else the stem of the config's file."""
    entry = entry_of(name_or_path)
    return Path(name_or_path).stem if entry is None else entry.name


def shipped_weights(name_or_path: str | Path) -> Path | None:
    """The weights that come with glipkit for this model; None where there are none."""
    entry = entry_of(name_or_path)
    return None if entry is None else entry.weights


@cache
def _parsed(path: Path) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(path.read_text(encoding='utf-8'))


def _entry(name: str, fields: Mapping[str, Any], root: Path) -> ModelEntry:
    fields = dict(fields)
    weights = fields.pop('weights', None)
    sources = tuple(HubFile(**source) for source in fields.pop('sources', ()))
    files = tuple(fields.pop('files', ())) or tuple(PurePosixPath(s.file).name for s in sources)
    recipes = tuple(root / recipe for recipe in fields.pop('recipes', ()))
    return ModelEntry(name, config=root / fields.pop('config'), sources=sources, files=files,
                      recipes=recipes, weights=None if weights is None else PACKAGE / weights,
                      **fields)
