"""Weights of the models that have a name: those that ship, those that are kept, those to fetch.

A name brings its weights. In this order they are

1. the file that comes with glipkit;
2. ``<name>.safetensors`` in the folder of weights (:func:`~glipkit.common.paths.weights_folder`);
3. a published file that the user has put into that folder, converted once;
4. one of the sources on the Hugging Face hub, fetched and converted once. Only what was converted
   is kept: published files of 3.7 GB hold 0.9 GB of weights.

Beside a kept file, ``<name>.json`` says where it comes from, and the digest of what was downloaded:
a source that later offers another file is refused.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from glipkit.apis.index import HubFile, ModelEntry, entry_of, model_index
from glipkit.checkpoints.download import FetchError, Offer, ask, download
from glipkit.common import reporter
from glipkit.common.digests import file_sha256
from glipkit.common.paths import weights_folder
from glipkit.errors import UserError
from glipkit.files import make_folder, no_room, write_text
from glipkit.runs.locks import locked

RANDOM = 'random'
"""In place of a checkpoint: the model keeps its initial weights."""

#: Seconds in which a call that can do without weights does not ask a hub that was silent.
QUIET_SECONDS = 60.
_silent_since: float | None = None


class NoWeights(UserError):
    """Weights that are nowhere to be had: no source, or no network."""


def weights_if_any(name_or_path: str | Path) -> tuple[Path | None, str]:
    """For callers that can do without: the weights of a name or config, or why there are none.

    Only a name is worth asking the hub; a path takes what is on this machine.

    Returns:
        The file, or None and a reason.

    Raises:
        UserError: As :func:`fetch_weights`, but for weights that are nowhere to be had.
    """
    entry = entry_of(name_or_path)
    if entry is None or str(name_or_path) not in model_index():
        found = None if entry is None else find_weights(entry)
        return found, 'no checkpoint was given, and none comes with glipkit'
    try:
        return fetch_weights(entry, ask_again=False), ''
    except NoWeights as error:
        return None, str(error)


def find_weights(entry: ModelEntry) -> Path | None:
    """The weights of a model that are on this machine and ready; None where there are none.

    Raises:
        UserError: The kept file has not the size with which it was written.
    """
    if entry.weights is not None:
        return entry.weights
    kept = kept_file(entry.name)
    if not kept.is_file():
        return None
    wanted, size = _record(entry.name).get('kept_size'), kept.stat().st_size
    if wanted is not None and size != wanted:
        raise UserError(f'the kept weights of {entry.name} with {wanted} bytes',
                        f'{kept} with {size}', f'run glipkit models fetch {entry.name} --force')
    return kept


def weights_here(entry: ModelEntry) -> Path:
    """The weights of a model that are on this machine; nothing is fetched or converted.

    Raises:
        NoWeights: There are none.
        UserError: As :func:`find_weights`.
    """
    found = find_weights(entry) or put_by_hand(entry)
    if found is None:
        raise NoWeights(f'weights of {entry.name} on this machine', f'none in {weights_folder()}',
                        f'run glipkit models fetch {entry.name}')
    return found


def kept_file(name: str) -> Path:
    """Where the converted weights of a model are kept."""
    return weights_folder() / f'{name}.safetensors'


def put_by_hand(entry: ModelEntry) -> Path | None:
    """A published file of the model that the user has put into the folder of weights."""
    return next((path for file in entry.files if (path := weights_folder() / file).is_file()), None)


def fetch_weights(entry: ModelEntry, force: bool = False, ask_again: bool = True) -> Path:
    """The weights of a model; what is not on this machine is fetched and converted, once.

    Several processes may ask at once: one fetches, the others wait for it.

    Args:
        entry: From :func:`~.index.model_index`.
        force: Whether to fetch or convert anew what is kept.
        ask_again: Whether to ask the hub though it has been silent a moment ago.

    Raises:
        NoWeights: There is no source, no network, or the hub gives the file to nobody.
        UserError: The transfer broke, brought another file, or there is no room.
    """
    if entry.weights is not None or not force:
        found = find_weights(entry)
        if found is not None:
            return found
    raw = put_by_hand(entry)
    if raw is not None:
        return _take(entry, raw, force)
    if not entry.sources:
        raise NoWeights(f'the weights of {entry.name}', f'none on the hub: {entry.elsewhere}',
                        f'put {" or ".join(entry.files)} into {weights_folder()}, or pass '
                        '--checkpoint FILE (checkpoint=...)')
    failures = []
    for source in entry.sources:
        try:
            return _fetch(entry, source, force, _ask(source, ask_again))
        except FetchError as failure:
            failures.append((source, failure))
            if failure.kind == 'no network':
                break  # all sources are on one hub
    raise _not_fetched(entry, failures)


def _ask(source: HubFile, again: bool) -> Offer:
    global _silent_since
    now = time.monotonic()
    if not again and _silent_since is not None and now - _silent_since < QUIET_SECONDS:
        raise FetchError('no network', 'none a moment ago')
    try:
        offer = ask(source.repository, source.file)
    except FetchError as failure:
        _silent_since = time.monotonic() if failure.kind == 'no network' else None
        raise
    _silent_since = None
    return offer


def _fetch(entry: ModelEntry, source: HubFile, force: bool, offer: Offer) -> Path:
    folder = weights_folder()
    make_folder(folder)
    with locked(folder / f'.{entry.name}.lock') as alone:
        found = None if force else find_weights(entry)
        if found is not None:  # by another process, meanwhile
            return found
        known = source.sha256 or _record(entry.name).get('digests', {}).get(str(source), '')
        if known and offer.sha256:
            _compare(entry, source, offer.sha256, known)
        mark = re.sub(r'\W', '', offer.etag)[:16] + ('' if alone else f'.{os.getpid()}')
        part = folder / f'.{entry.name}.{mark}.download'
        _check_room(offer, part)
        reporter.note(f'fetching {source.file} of {source.repository}, once, for {folder}')
        digest = download(offer, part, lambda done: _bar(entry, offer.size, done))
        if known:
            _compare(entry, source, digest, known, part)
        kept = _convert_download(entry, source, part, offer)
        for rest in folder.glob(f'.{entry.name}.*.download'):
            with suppress(OSError):
                rest.unlink()
        return kept


def _compare(entry: ModelEntry, source: HubFile, digest: str, known: str,
             part: Path | None = None) -> None:
    """Refuses another file than the index names, or than the first download was."""
    if digest == known:
        return
    if part is not None:
        part.unlink()
    why = 'as the index of models says' if source.sha256 else \
        f'as when it was fetched first (remove {_record_file(entry.name)} to take the new one)'
    raise FetchError('wrong', f'its sha256 is {digest[:12]}... and not {known[:12]}..., {why}')


def _check_room(offer: Offer, part: Path) -> None:
    done = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(part.parent).free
    if offer.size is not None and offer.size - done > free:
        raise UserError(f'room for {offer.size - done} bytes', f'{free} free at {part.parent}',
                        'free some space, or set GLIPKIT_HOME to a folder on another disk')


def _bar(entry: ModelEntry, size: int | None, done: int) -> reporter.Bar:
    """Programs are told nothing, but a person at a terminal wants to see what takes minutes."""
    title = f'fetching {entry.name}'
    if reporter.is_silent() and sys.stderr is not None and sys.stderr.isatty():
        return reporter.ConsoleReporter().bar(title, size, 'B', done, scale=True)
    return reporter.bar(title, size, 'B', done, scale=True)


def _convert_download(entry: ModelEntry, source: HubFile, part: Path, offer: Offer) -> Path:
    origin = {'source': str(source), 'commit': offer.commit, 'size': part.stat().st_size}
    try:
        kept = _keep(entry, part, origin)
    except UserError as error:
        full = no_room(error)
        if full is not None:
            raise UserError(f'room to convert the weights of {entry.name}',
                            f'{part.parent} ({full.strerror})', 'free some space and repeat: the '
                            f'download stays in {part} until then') from error
        part.unlink(missing_ok=True)
        # The file has a name of its own here, which tells nobody anything.
        raise UserError(error.expected, error.got.replace(str(part), str(source)),
                        error.fix) from error
    part.unlink()
    return kept


def _take(entry: ModelEntry, raw: Path, force: bool) -> Path:
    """Keeps the weights of a file that the user has put there; the file stays."""
    folder = raw.parent
    if not os.access(folder, os.W_OK):
        return raw  # of an administrator: any layout can be loaded
    expected = [source.sha256 for source in entry.sources
                if source.sha256 and Path(source.file).name == raw.name]
    with locked(folder / f'.{entry.name}.lock'):
        found = None if force else find_weights(entry)
        if found is not None:
            return found
        if expected and (digest := file_sha256(raw)) not in expected:
            raise UserError(f'{raw.name} with the sha256 {expected[0]}', f'{raw} with {digest}',
                            'download it again')
        return _keep(entry, raw, {'source': raw.name, 'size': raw.stat().st_size})


def _keep(entry: ModelEntry, raw: Path, origin: dict[str, Any]) -> Path:
    """Writes the weights of a published file, and beside them where they come from."""
    from glipkit.apis.convert import convert_checkpoint  # which builds models, as our callers do

    kept = kept_file(entry.name)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of parts that such files lack: loading says it, too
        report = convert_checkpoint(raw, kept, force=True, config=entry.config)
    origin = {**origin, 'sha256': report.sha256[0]}
    digests = {**_record(entry.name).get('digests', {}), origin['source']: origin['sha256']}
    write_text(_record_file(entry.name), json.dumps(
        {**origin, 'kept_size': kept.stat().st_size, 'kept_sha256': report.sha256[1],
         'digests': digests}, indent=1) + '\n')
    return kept


def _record_file(name: str) -> Path:
    return weights_folder() / f'{name}.json'


def _record(name: str) -> dict[str, Any]:
    """What is known of a kept file; empty where it is not ours."""
    try:
        content = json.loads(_record_file(name).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _not_fetched(entry: ModelEntry, failures: list[tuple[HubFile, FetchError]]) -> UserError:
    kinds = {failure.kind for _, failure in failures}
    first = entry.sources[0]
    what = f'{first.file} ({first.size})' if first.size else first.file
    if 'no network' in kinds and len(failures) == 1:
        where = ' or '.join(source.repository for source in entry.sources)
        got = f'no network for {what} of {where} on the hub ({failures[0][1].reason})'
    else:
        got = f'no {what} on the hub (' + ', '.join(
            f'{source.repository}: {failure.reason}' for source, failure in failures) + ')'
    fix = f'put that file into {weights_folder()}, or pass --checkpoint FILE (checkpoint=...)'
    if 'broken' in kinds:
        fix = f'the same again goes on from there; or {fix}'
    if 'wrong' in kinds:
        fix = f'nothing of it is kept; {fix}'
    lost = kinds <= {'no network', 'refused'}
    return (NoWeights if lost else UserError)(f'the weights of {entry.name}', got, fix)
