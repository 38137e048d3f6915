"""Task files: what a model learned for one task, without the model, and models that serve many."""
from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from glipkit.apis.task_checks import check_task
from glipkit.checkpoints.files import write_safetensors
from glipkit.checkpoints.wrappers import state_of
from glipkit.engine.transfer import build_strategy, task_view
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query
from glipkit.text.structures import CaptionPrompt

FORMAT = 'glipkit-task-1'
#: Key in the header of a task file -> attribute of the task.
_HEADER = {key: key for key in ('strategy', 'classes', 'category_ids', 'captions', 'spans', 'base',
                                'model', 'caption_prompt')} | {'facts': 'details'}


@dataclass(frozen=True, eq=False)
class Task:
    """A tuned prompt, head, set of adapters or set of weights.

    Args:
        strategy: Settings of the strategy, its ``name`` among them.
        classes: The class names, in the order of their labels.
        category_ids: Id of each class in the annotation file.
        captions: The prompts that the task asks.
        spans: For each prompt and each class in it, the character spans that stand for the class.
        base: :func:`fingerprint` of the model that the task belongs to.
        model: Name of that model, for messages.
        state: Tensors, by name.
        caption_prompt: Hand-written prompts, name -> dict(prefix=, name=, suffix=).
        details: Other things worth knowing: shots, seed, scores.
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

    @property
    def query(self) -> Query:
        """The task's own question: its classes in their order, in its own words."""
        return Query.for_classes(self.classes, self.caption_prompt)


def make_task(model: GroundingDetector, strategy: Mapping[str, Any], state: Mapping[str, Tensor],
              classes: Mapping[int, str], base: str, name: str,
              caption_prompt: CaptionPrompt | None = None,
              details: Mapping[str, Any] | None = None) -> Task:
    """A task of a base model.

    Args:
        model: The base detector.
        strategy: Its settings.
        state: What training changed, as the strategy's ``state`` gives it.
        classes: Category id -> name, in ascending order of ids.
        base: :func:`fingerprint` of ``model``.
        name: Of the model.
        caption_prompt: As in :class:`Task`.
        details: As in :class:`Task`.
    """
    prompts = model.prompts(Query.for_classes(classes.values(), caption_prompt))
    return Task(dict(strategy), tuple(classes.values()), tuple(classes),
                tuple(prompt.caption for prompt in prompts),
                tuple(prompt.spans for prompt in prompts), base, name, dict(state),
                caption_prompt, dict(details or {}))


def save_task(task: Task, path: str | Path) -> None:
    """Writes a task as safetensors, atomically; everything but the tensors is JSON in its header.

    Raises:
        UserError: When nothing can be written there.
    """
    metadata = {key: json.dumps(getattr(task, name), ensure_ascii=False)
                for key, name in _HEADER.items()}
    write_safetensors(task.state, Path(path), {'format': FORMAT, **metadata})


def read_task(path: str | Path) -> Task:
    """Reads a task file.

    Raises:
        UserError: No such file, or not a task file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError('a task file that glipkit tune wrote', f'no file at {path}',
                        'check the path')
    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            metadata = dict(file.metadata() or {})
            state = {key: file.get_tensor(key) for key in list(file.keys())}
        if metadata.pop('format', None) != FORMAT:
            raise ValueError('it holds something else')
        text = {_HEADER.get(key, key): json.loads(value, parse_constant=_no_number)
                for key, value in metadata.items()}
        task = Task(state=state, **text)
        check_task({name: getattr(task, name) for name in _HEADER.values()}, state)
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError('a task file that glipkit tune wrote', f'{path} ({error})',
                        'pass the task.safetensors of a tuning run') from error
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
    digest = hashlib.sha256()
    for name, tensor in sorted(state_of(model).items()):
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
        model: The base detector, on its device.
        base: Its :func:`fingerprint`, where it is known; otherwise computed on the first use.
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
        """Gets a task ready.

        Args:
            source: A task file, or a task.
            name: What to call it; default the path as it was given.

        Returns:
            Its name.

        Raises:
            UserError: No task file, or one that belongs to another model.
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

    def task(self, name: str) -> Task:
        """A task that is loaded, or whose file ``name`` is."""
        return self._get(name).task

    def view(self, name: str | None) -> GroundingDetector:
        """The detector that does a task; None gives the base detector."""
        return self.model if name is None else self._get(name).model

    def query(self, name: str, query: Query | None) -> Query:
        """What a call asks of a task: the task's own classes where it names none.

        Raises:
            UserError: Other classes, of a task that can answer its own alone.
        """
        task = self.task(name)
        if query is None:
            return task.query
        if build_strategy(task.strategy).closed and not query.is_caption \
                and query.classes != task.classes:
            raise UserError(f'the classes of the task ({", ".join(task.classes)}), or none',
                            f'{list(query.classes)!r}',
                            "leave the classes out, or pass task='' to ask the base model")
        return query

    def _get(self, name: str) -> _Ready:
        with self._lock:
            if name not in self._ready:
                self.load(name)
            return self._ready[name]
