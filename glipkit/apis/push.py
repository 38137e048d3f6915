"""Publishing a model or a task on the Hugging Face hub, from where a name loads it again."""
from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glipkit.apis.index import entry_of, model_index, model_name
from glipkit.apis.model_card import Card, Licence
from glipkit.checkpoints.hub import TASK, WEIGHTS
from glipkit.checkpoints.upload import Hub, check_repository
from glipkit.common.digests import file_sha256
from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.files import atomic_folder, copy_file, write_text
from glipkit.version import __version__

FORMAT = 'glipkit-push-1'
#: Of a config what belongs to one run of it.
_OF_A_RUN = ('work_dir', 'load_from', 'resume', 'launcher')


@dataclass(frozen=True)
class Publication:
    """What is to be published, and what its page says.

    Args:
        repository: ``owner/name``.
        model: Model name or config; for a task that of its file.
        checkpoint: Its weights in any layout; None takes those of the name.
        task: Task file that ``glipkit tune`` wrote, in place of a model.
        licence: What others may do with it; None is refused.
        about: One sentence; None takes that of the model index.
        base_model: Repository on the hub that it was made from; None takes the first source of the
            model's name.
        datasets: Data sets on the hub that it was trained on.
        metrics: Name -> value; without any, the published numbers of a model's own weights.
        protocol: How they were computed.
        dtype: Number format of the weights, as for ``convert_checkpoint``.
    """

    repository: str
    model: str | None = None
    checkpoint: str | Path | None = None
    task: str | Path | None = None
    licence: Licence | None = None
    about: str | None = None
    base_model: str | None = None
    datasets: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    protocol: str = ''
    dtype: str | None = None

    def check(self) -> None:
        """Refuses what cannot be published, before anything is read or written.

        Raises:
            UserError: A wrong name, no licence, or not exactly one of model and task.
        """
        check_repository(self.repository)
        if self.base_model is not None:
            check_repository(self.base_model)
        if (self.model is None) == (self.task is None):
            raise UserError('--model NAME or --task FILE, to push the one or the other',
                            'neither' if self.model is None else 'both', 'pass one of them')
        if self.task is not None and (self.checkpoint or self.dtype):
            raise UserError('--checkpoint and --dtype with --model', 'with --task',
                            'leave them out')
        if self.licence is None:
            entry = None if self.model is None else entry_of(self.model)
            stated = '' if entry is None else ' (the authors of {} state: {})'.format(
                entry.name, ', '.join(f'{k} {v}' for k, v in entry.licence.items()))
            raise UserError('a licence, which says what others may do with it (--license NAME)',
                            f'none{stated}', 'pass e.g. --license apache-2.0')
        self.licence.check()


def push(publication: Publication, private: bool = False) -> str:
    """Publishes a model or a task; all files in one commit, or none.

    Args:
        publication: What to publish.
        private: Whether a repository that is made is private.

    Returns:
        Address of the repository.

    Raises:
        UserError: As :meth:`Publication.check`, weights or a task that cannot be read, no token, no
            network, or a hub that refuses.
    """
    publication.check()
    hub = Hub()  # whatever it refuses is known before the work is done
    with tempfile.TemporaryDirectory(prefix='glipkit-push-') as name:
        folder = Path(name)
        _fill(folder, publication)
        files = sorted(folder.iterdir())
        size = sum(path.stat().st_size for path in files) / 1e6
        note(f'pushing {len(files)} files, {size:.1f} MB, to {publication.repository}')
        what = 'task' if publication.task is not None else 'model'
        return hub.push(folder, publication.repository, f'A {what} of glipkit {__version__}',
                        private)


def write_publication(publication: Publication, out: str | Path) -> list[Path]:
    """Writes the files that :func:`push` would publish; needs no network and no token.

    Args:
        publication: What would be published.
        out: A new or empty folder, which appears complete or not at all.

    Returns:
        The files.

    Raises:
        UserError: As :meth:`Publication.check`, a folder with files in it, weights or a task that
            cannot be read, or a place that cannot be written.
    """
    publication.check()
    out = Path(out)
    if out.is_file() or out.is_dir() and any(out.iterdir()):
        raise UserError('a new or empty folder for --out', str(out), 'pass another name')
    with atomic_folder(out) as folder:
        _fill(folder, publication)
    return sorted(out.iterdir())


def _fill(folder: Path, publication: Publication) -> None:
    fill = _fill_model if publication.task is None else _fill_task
    card, facts = fill(folder, publication)
    digests = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    write_text(folder / 'publication.json', json.dumps(
        {'format': FORMAT, 'glipkit': __version__, **facts, 'sha256': digests},
        indent=1, ensure_ascii=False) + '\n')
    write_text(folder / 'README.md', card.text())


def _fill_model(folder: Path, publication: Publication) -> tuple[Card, dict[str, Any]]:
    """Weights and config; returns the page and the facts for programs."""
    from glipkit.apis.build import checkpoint_for, find_config, read_config
    from glipkit.apis.convert import convert_checkpoint
    path = find_config(publication.model)
    checkpoint = checkpoint_for(publication.model, publication.checkpoint)
    report = convert_checkpoint(checkpoint, folder / WEIGHTS, config=path, dtype=publication.dtype)
    cfg = read_config(path)
    for key in _OF_A_RUN:
        cfg.pop(key, None)
    write_text(folder / 'config.py', cfg.pretty_text)
    entry, name = entry_of(publication.model), model_name(publication.model)
    own = entry is not None and publication.checkpoint is None
    published = dict(entry.published) if own and not publication.metrics else {}
    details = {'config': f'`{name}`', 'architecture': report.model,
               'weights': f'`{WEIGHTS}`, sha256 `{report.sha256[1]}`',
               'glipkit': __version__}
    about = publication.about or (f'{entry.name} of glipkit: {entry.about}.' if own else
                                  f'A detector for glipkit, with the config {name}.')
    card = _card(publication, name, about, entry, published, details=details,
                 own_config=name not in model_index())
    return card, dict(kind='model', model=name, config='config.py', weights=WEIGHTS)


def _fill_task(folder: Path, publication: Publication) -> tuple[Card, dict[str, Any]]:
    """The task file; returns the page and the facts for programs."""
    from glipkit.apis.tasks import read_task, task_file
    task = read_task(publication.task)
    copy_file(task_file(publication.task), folder / TASK)
    entry = entry_of(task.model)
    tuned = ', '.join(f'{key} {value}' for key, value in task.details.items()
                      if isinstance(value, (int, float, str)))
    details = {'base model': f'`{task.model}`, weights with the fingerprint `{task.base}`',
               'strategy': str(task.strategy.get('name')) + (f' ({tuned})' if tuned else ''),
               'glipkit': __version__}
    found = 'one class' if len(task.classes) == 1 else f'{len(task.classes)} classes'
    about = publication.about or f'A task for {task.model} of glipkit, which finds its {found}.'
    card = _card(publication, task.model, about, entry, {}, classes=task.classes, details=details)
    return card, dict(kind='task', model=task.model, task=TASK, base=task.base)


def _card(publication: Publication, model: str, about: str, entry: Any,
          published: Mapping[str, float], **more: Any) -> Card:
    """A page of what the publication says, else of what the index knows."""
    sources = () if entry is None else entry.sources
    base = publication.base_model or (sources[0].repository if sources else None)
    return Card(publication.repository, model, publication.licence, about, base_model=base,
                base_licence={} if entry is None else entry.licence,
                datasets=publication.datasets, metrics=publication.metrics or published,
                protocol=publication.protocol, **more)
