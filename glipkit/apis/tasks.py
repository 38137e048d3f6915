"""Task files, which hold what a model learned for a task, and models that serve many tasks."""
from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from glipkit.apis.calibration import Calibration
from glipkit.apis.task_checks import check_task
from glipkit.checkpoints.files import write_safetensors
from glipkit.checkpoints.hub import TASK, hub_file, resolve
from glipkit.checkpoints.wrappers import state_of
from glipkit.engine.transfer import build_strategy, task_view
from glipkit.errors import UserError
from glipkit.files import check_file
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query
from glipkit.text.structures import CaptionPrompt

FORMAT = 'glipkit-task-1'
#: Key in the header of a task file -> attribute of the task.
_HEADER = {key: key for key in ('strategy', 'classes', 'category_ids', 'captions', 'spans', 'base',
                                'model', 'caption_prompt')} | {'facts': 'details',
                                                              'query': 'parts'}
#: Key that only files of calibrated tasks have.
_CALIBRATION = 'calibration'


@dataclass(frozen=True, eq=False)
class Task:
    """A tuned prompt, head, set of adapters or set of weights.

    Args:
        strategy: Settings of the strategy, its ``name`` among them.
        classes: Class names, in the order of their labels.
        category_ids: Id of each class in the annotation file.
        captions: Prompts of the task.
        spans: Character spans of each class in each prompt.
        base: :func:`fingerprint` of the model that the task belongs to.
        model: Name of that model, for messages.
        state: Tensors, by name.
        caption_prompt: Hand-written prompts, name -> dict(prefix=, name=, suffix=).
        details: Other information: shots, seed, scores.
        parts: What goes with the class names, see `Query.parts`.
        calibration: What ``glipkit calibrate`` measured of its scores; None where nobody did.
    """

    strategy: Mapping[str, Any]
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    captions: tuple[str, ...]
    spans: tuple
    base: str
    model: str
    state: Mapping[str, Tensor] = field(repr=False)
    caption_prompt: CaptionPrompt | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None

    @property
    def query(self) -> Query:
        """The query of the task: its classes in their order, and all that goes with them."""
        return Query.for_classes(self.classes, self.caption_prompt, **self.parts)


def make_task(model: GroundingDetector, strategy: Mapping[str, Any], state: Mapping[str, Tensor],
              classes: Mapping[int, str], base: str, name: str,
              caption_prompt: CaptionPrompt | None = None,
              details: Mapping[str, Any] | None = None,
              parts: Mapping[str, Any] | None = None) -> Task:
    """A task of a base model.

    Args:
        model: Base detector.
        strategy: Settings of the strategy.
        state: Tensors that training changed, from the strategy's ``state``.
        classes: Category id -> name, in ascending order of ids.
        base: :func:`fingerprint` of ``model``.
        name: Name of the model.
        caption_prompt: Hand-written prompts, see :class:`Task`.
        details: Other information, see :class:`Task`.
        parts: See :class:`Task`.
    """
    query = Query.for_classes(classes.values(), caption_prompt, **(parts or {}))
    prompts = model.prompts(query)
    return Task(dict(strategy), tuple(classes.values()), tuple(classes),
                tuple(prompt.caption for prompt in prompts),
                tuple(prompt.spans for prompt in prompts), base, name, dict(state),
                caption_prompt, dict(details or {}), query.parts)


def save_task(task: Task, path: str | Path) -> None:
    """Writes a task as safetensors, atomically; everything but the tensors is JSON in its header.

    Raises:
        UserError: When nothing can be written there.
    """
    # A query of class names alone is left out, so that older versions read the file too.
    metadata = {key: json.dumps(getattr(task, name), ensure_ascii=False)
                for key, name in _HEADER.items() if key != 'query' or task.parts}
    if task.calibration is not None:
        metadata[_CALIBRATION] = json.dumps(task.calibration.json, ensure_ascii=False)
    write_safetensors(task.state, Path(path), {'format': FORMAT, **metadata})


def check_task_place(path: str | Path) -> None:
    """Refuses a place for a task file before anything is learned or measured.

    Raises:
        UserError: Another ending, a file that is no task file, which would be lost, or a place
            where nothing can be written.
    """
    path = Path(path)
    if path.suffix != '.safetensors':
        raise UserError('a task file that ends in .safetensors', str(path),
                        f'write {path.with_suffix(".safetensors")}' if path.name
                        else 'write e.g. task.safetensors')
    if path.exists():
        read_task(path)
    check_file(path)


def task_file(path: str | Path) -> Path:
    """The file of a task on this machine, downloaded first where it is on the hub.

    Args:
        path: A file, a folder with a ``task.safetensors``, or a task on the hub
            (``owner/repository``, ``owner/repository:file.ending``).

    Raises:
        UserError: No such file, or the hub cannot give it.
    """
    known = Path(path).exists() or hub_file(str(path), TASK)
    path = resolve(path, TASK) if known else Path(path)
    if not path.is_file():
        raise UserError('a task file of glipkit tune, prompt or calibrate', f'no file at {path}',
                        'check the path')
    return path


def read_task(path: str | Path) -> Task:
    """Reads a task file.

    Args:
        path: As for :func:`task_file`.

    Raises:
        UserError: No such file, not a task file, or the hub cannot give it.
    """
    path = task_file(path)
    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            metadata = dict(file.metadata() or {})
            state = {key: file.get_tensor(key) for key in list(file.keys())}
        if metadata.pop('format', None) != FORMAT:
            raise ValueError('it holds something else')
        text = {_HEADER.get(key, key): json.loads(value, parse_constant=_no_number)
                for key, value in metadata.items()}
        if _CALIBRATION in text:
            text[_CALIBRATION] = Calibration.from_json(text[_CALIBRATION])
        task = Task(state=state, **text)
        check_task({name: getattr(task, name) for name in _HEADER.values()}, state)
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError('a task file of glipkit tune, prompt or calibrate', f'{path} ({error})',
                        'pass the file that one of them wrote') from error
    sequences = {key: tuple(text[key]) for key in ('classes', 'category_ids', 'captions')}
    spans = tuple(tuple(tuple(tuple(s) for s in entity) for entity in prompt)
                  for prompt in task.spans)
    return Task(**{**vars(task), **sequences, 'spans': spans})


def _no_number(text: str) -> None:
    raise ValueError(f'its header holds {text}')


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of a model's weights.

    Two models with equal fingerprints give equal results; layouts and file formats do not matter.
    """
    return state_digest(state_of(model))


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy() if values.numel() else b'')
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class _Ready:
    task: Task
    model: GroundingDetector


class TaskViews:
    """The tasks of one detector, each as a view that shares its weights; see `task_view`.

    Safe for several threads: neither the detector nor a view changes when another is used.

    Args:
        model: Base detector, on its device.
        base: Its :func:`fingerprint`; None computes it on first use.
    """

    def __init__(self, model: GroundingDetector, base: str | None = None) -> None:
        self.model = model
        self._base = base
        self._ready: dict[str, _Ready] = {}
        self._lock = threading.RLock()

    @property
    def base(self) -> str:
        """Fingerprint of the detector."""
        with self._lock:
            if self._base is None:
                self._base = fingerprint(self.model)
            return self._base

    def load(self, source: str | Path | Task, name: str | None = None) -> str:
        """Loads a task.

        Args:
            source: Task file, or a task.
            name: Name of the task; default the path as it was given.

        Returns:
            The name.

        Raises:
            UserError: Not a task file, or one that belongs to another model.
        """
        task = source if isinstance(source, Task) else read_task(source)
        name = name or ('task' if isinstance(source, Task) else str(source))
        if task.base != self.base:
            raise UserError(f'a task of this model ({self.base[:12]})',
                            f'{name}, a task of {task.model} with other weights '
                            f'({task.base[:12]})',
                            'load the model and checkpoint that it was tuned on')
        prompts = self.model.prompts(task.query)
        if tuple(prompt.caption for prompt in prompts) != task.captions:
            raise UserError('a model that asks the prompts of the task',
                            f'{name}: other prompts, {[p.caption for p in prompts][:2]}',
                            "give the model's test_cfg the max_tokens it was tuned with")
        overrides = build_strategy(task.strategy).overrides(self.model, task.state, prompts)
        ready = _Ready(task, task_view(self.model, overrides))
        with self._lock:
            self._ready[name] = ready
        return name

    def forget(self, name: str) -> None:
        """Removes a loaded task; who is being answered with it is still answered."""
        with self._lock:
            self._ready.pop(name, None)

    def task(self, name: str) -> Task:
        """The loaded task of a name, or the task of the file ``name``."""
        return self._get(name).task

    def view(self, name: str | None) -> GroundingDetector:
        """The detector for a task; None gives the base detector."""
        return self.model if name is None else self._get(name).model

    def query(self, name: str, query: Query | None) -> Query:
        """The query of a call with a task: the classes of the task where the call names none.

        Raises:
            UserError: Other classes, for a task that can answer only its own.
        """
        task = self.task(name)
        if query is None:
            return task.query
        if not build_strategy(task.strategy).closed or query.is_caption:
            return query
        own = task.query
        if query.asked == tuple((name, label) for label, name in enumerate(own.classes)):
            query = own.with_more(exclusive=query.exclusive)  # the other names belong to it
        if query.classes == own.classes and query.asked != own.asked:
            raise UserError('the other names and negatives that the task was tuned with',
                            f'{query.parts!r} for {name}',
                            "leave them out, or pass task='' to ask the base model")
        if query.asked != own.asked:
            raise UserError(f'the classes of the task ({", ".join(task.classes)}), or none',
                            f'{list(query.classes)!r}',
                            "leave the classes out, or pass task='' to ask the base model")
        return query

    def calibration(self, name: str | None) -> Calibration | None:
        """What a task knows of its scores; None for the base detector, or where nobody measured."""
        return None if name is None else self.task(name).calibration

    def category_ids(self, name: str | None, names: Sequence[str]) -> tuple[int, ...] | None:
        """Category id of each name in the annotation file that a task was tuned on.

        Args:
            name: Of the task; None for the base detector, which knows no file.
            names: What was asked for.

        Returns:
            None where one of the names is no class of the task.
        """
        if name is None:
            return None
        task = self.task(name)
        id_of = dict(zip(task.classes, task.category_ids))
        return tuple(id_of[n] for n in names) if id_of.keys() >= set(names) else None

    def _get(self, name: str) -> _Ready:
        with self._lock:
            if name not in self._ready:
                self.load(name)
            return self._ready[name]
