"""The list of the models that have a name, for people and for programs."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from glipkit.apis.index import ModelEntry, model_index
from glipkit.apis.weights import find_weights, put_by_hand
from glipkit.common.paths import weights_folder
from glipkit.errors import UserError


def named(name: str) -> ModelEntry:
    """The entry of a model name.

    Raises:
        UserError: There is no such name.
    """
    index = model_index()
    if name not in index:
        raise UserError(f'a model name ({", ".join(index)})', repr(name), 'choose one of these')
    return index[name]


def catalogue() -> dict[str, Any]:
    """Everything that the index knows, and what is on this machine.

    Returns:
        ``folder`` of the weights, and ``models``: name -> about, published, licence, sources,
        elsewhere, files, and ``here`` (``'ships'``, ``'kept'``, ``'put by hand'``, ``'damaged'`` or
        ``''``) with ``path`` and ``bytes``.
    """
    return {'folder': str(weights_folder()),
            'models': {name: _facts(entry) for name, entry in model_index().items()}}


def render(found: dict[str, Any]) -> str:
    """The catalogue as text for people, without a newline at the end."""
    lines = []
    width = max(map(len, found['models']), default=0)
    for name, facts in found['models'].items():
        lines.append(f'{name:{width}}  {_state(facts)}')
        lines.append(f'  {facts["about"]}')
        if facts['published']:
            numbers = ', '.join(f'{metric} {value:g}' for metric, value
                                in list(facts['published'].items())[:2])
            lines.append(f'  {numbers}')
        lines.append(f'  licence: code {facts["licence"]["code"]}, weights '
                     f'{facts["licence"]["weights"]}')
    lines.append(f'folder of weights: {found["folder"]} (GLIPKIT_HOME)')
    return '\n'.join(lines)


def _facts(entry: ModelEntry) -> dict[str, Any]:
    here, path = _on_disk(entry)
    return {
        'about': entry.about, 'config': str(entry.config), 'published': dict(entry.published),
        'licence': dict(entry.licence), 'layout': entry.layout,
        'sources': [{'repository': source.repository, 'file': source.file, 'size': source.size,
                     'sha256': source.sha256} for source in entry.sources],
        'elsewhere': entry.elsewhere, 'files': list(entry.files), 'here': here,
        'path': None if path is None else str(path),
        'bytes': None if path is None or not path.is_file() else path.stat().st_size}


def _on_disk(entry: ModelEntry) -> tuple[str, Path | None]:
    try:
        path = find_weights(entry)
    except UserError:
        return 'damaged', None
    if path is not None:
        return 'ships' if entry.weights is not None else 'kept', path
    raw = put_by_hand(entry)
    return ('', None) if raw is None else ('put by hand', raw)


def _state(facts: dict[str, Any]) -> str:
    """One short text: what is here, else where it can be had."""
    if facts['here']:
        size = '' if facts['bytes'] is None else f', {tqdm.format_sizeof(facts["bytes"])}B'
        return {'ships': 'comes with glipkit', 'kept': 'kept here', 'put by hand': 'put here by '
                'hand, converted on first use', 'damaged': 'kept here, but damaged: fetch it with '
                '--force'}[facts['here']] + size
    if facts['sources']:
        source = facts['sources'][0]
        size = f'{source["size"]}, ' if source['size'] else ''
        return f'not here; {size}from {source["repository"]} on first use'
    return 'not here, and not on the hub: put ' + ' or '.join(facts['files']) + ' into the folder'
