"""Task files: what a model learned for one task, without the model, and models that serve many."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from glipkit.checkpoints.files import write_safetensors
from glipkit.engine.transfer import Overrides, build_strategy
from glipkit.errors import UserError
from glipkit.text.cache import TextFeatureCache
from glipkit.text.prompts import Affixes

FORMAT = 'glipkit-task-1'


@dataclass(frozen=True, eq=False)
class Task:
    """A tuned prompt, head, set of adapters or set of weights.

    Args:
        strategy: Settings of the strategy, its ``name`` among them.
        classes: The class names, in the order of their labels.
        category_ids: Per class its id in the annotation file.
        captions: The prompts that the task asks.
        spans: Per prompt, per class the character spans that stand for it.
        base: :func:`fingerprint` of the model that the task belongs to.
        model: Name of that model, for messages.
        state: Tensors, by name.
        caption_prompt: Hand-written prompts, name -> dict(prefix=, name=, suffix=).
        facts: What else is worth knowing: shots, seed, scores.
    """

    strategy: Mapping[str, Any]
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    captions: tuple[str, ...]
    spans: tuple
    base: str
    model: str
    state: Mapping[str, Tensor] = field(repr=False)
    caption_prompt: Affixes | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def make_task(model: nn.Module, strategy: Mapping[str, Any], state: Mapping[str, Tensor],
              classes: Mapping[int, str], base: str, name: str,
              caption_prompt: Affixes | None = None,
              facts: Mapping[str, Any] | None = None) -> Task:
    """A task of a base model.

    Args:
        model: The base detector.
        strategy: Its settings.
        state: What training changed, as the strategy's ``state`` gives it.
        classes: Category id -> name, in ascending order of ids.
        base: :func:`fingerprint` of ``model``.
        name: Of the model.
        caption_prompt: As in :class:`Task`.
        facts: As in :class:`Task`.
    """
    prompts = model.class_prompts(list(classes.values()), caption_prompt)
    return Task(dict(strategy), tuple(classes.values()), tuple(classes),
                tuple(prompt.caption for prompt in prompts),
                tuple(prompt.spans for prompt in prompts), base, name, dict(state),
                caption_prompt, dict(facts or {}))


def save_task(task: Task, path: str | Path) -> None:
    """Writes a task as safetensors, atomically; everything but the tensors is JSON in its header.

    Raises:
        UserError: When nothing can be written there.
    """
    text = {key: getattr(task, key) for key in ('strategy', 'classes', 'category_ids', 'captions',
                                                'spans', 'base', 'model', 'caption_prompt',
                                                'facts')}
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in text.items()}
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
        text = {key: json.loads(value) for key, value in metadata.items()}
        task = Task(state=state, **text)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError('a task file that glipkit tune wrote', f'{path} ({error})',
                        'pass the task.safetensors of a tuning run') from error
    sequences = {key: tuple(text[key]) for key in ('classes', 'category_ids', 'captions')}
    spans = tuple(tuple(tuple(tuple(s) for s in entity) for entity in prompt)
                  for prompt in task.spans)
    return Task(**{**vars(task), **sequences, 'spans': spans})


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of a model's weights.

    Two models with equal fingerprints give equal results; layouts and file formats do not matter.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy() if values.numel() else b'')
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class _Loaded:
    task: Task
    overrides: Overrides
    cache: TextFeatureCache


class TaskServer:
    """One detector that does many tasks, taking turns; its own weights are never changed.

    While a task is in use, tensors and modules of the model are exchanged for the task's, and put
    back afterwards. It is not for several threads at once.

    Args:
        model: The base detector, on its device.
        base: Its :func:`fingerprint`, where it is known; otherwise computed on the first use.
    """

    def __init__(self, model: nn.Module, base: str | None = None) -> None:
        self.model = model
        self._base = base
        self._loaded: dict[str, _Loaded] = {}

    @property
    def base(self) -> str:
        """Fingerprint of the detector."""
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
        prompts = self.model.class_prompts(task.classes, task.caption_prompt)
        if tuple(prompt.caption for prompt in prompts) != task.captions:
            raise UserError('a model that asks the prompts of the task',
                            f'{name}: other prompts, {[p.caption for p in prompts][:2]}',
                            "give the model's test_cfg the max_tokens it was tuned with")
        overrides = build_strategy(task.strategy).overrides(self.model, task.state, prompts)
        tensors = {key: nn.Parameter(value, requires_grad=False)
                   for key, value in overrides.tensors.items()}
        self._loaded[name] = _Loaded(task, Overrides(tensors, overrides.modules),
                                     TextFeatureCache())
        return name

    def task(self, name: str) -> Task:
        """A task that is loaded, or whose file ``name`` is."""
        if name not in self._loaded:
            self.load(name)
        return self._loaded[name].task

    def ask(self, name: str, classes: Sequence[str] | None, caption_prompt: Affixes | None
            ) -> tuple[Sequence[str], Affixes | None]:
        """The classes and hand-written prompts of a call: the task's, where it names none.

        Raises:
            UserError: Other classes, of a task that can answer its own alone.
        """
        task = self.task(name)
        if classes is None:
            return task.classes, task.caption_prompt
        if not isinstance(classes, str):
            classes = list(classes)
        if build_strategy(task.strategy).closed and tuple(classes) != task.classes:
            raise UserError(f'the classes of the task ({", ".join(task.classes)}), or none',
                            f'{list(classes)!r}',
                            "leave the classes out, or pass task='' to ask the base model")
        return classes, caption_prompt

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """The model does the task inside the block; None leaves it as it is."""
        if name is None:
            yield
            return
        self.task(name)
        loaded = self._loaded[name]
        model, put_back = self.model, []
        try:
            for key, value in loaded.overrides.tensors.items():
                owner, _, leaf = key.rpartition('.')
                slots = model.get_submodule(owner)._parameters
                put_back.append((slots, leaf, slots[leaf]))
                slots[leaf] = value
            for key, module in loaded.overrides.modules.items():
                put_back.append((model._modules, key, model._modules[key]))
                model._modules[key] = module
            # Features that the base model's encoder gave are not this task's, and will be wanted.
            put_back.append((model.__dict__, 'text_cache', model.text_cache))
            model.text_cache = loaded.cache
            yield
        finally:
            for slots, key, value in reversed(put_back):
                slots[key] = value
