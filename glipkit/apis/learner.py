"""The part of `Predictor` that learns names from examples."""
from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glipkit.apis.arguments import check_channel_order
from glipkit.apis.asking import Classes, as_query
from glipkit.apis.example_learning import LearnSettings, learn
from glipkit.apis.examples import Example, ExampleSet, read_examples
from glipkit.apis.index import model_name
from glipkit.apis.tasks import check_task_place, save_task
from glipkit.errors import UserError
from glipkit.text.query import Query


class NameLearner:
    """Learns names from examples, each set of them once."""

    def _begin_learning(self, model: Any) -> None:
        named = isinstance(model, (str, Path))
        self._model_name = model_name(model) if named else type(model).__name__
        self._learned: dict[str, Any] = {}
        self._learning = threading.RLock()

    def learn(self, examples: Example | Sequence[Example], *, words: Classes = (),
              seconds: float | None = LearnSettings.seconds, steps: int | None = None,
              seed: int = 0, name: str | None = None, out: str | Path | None = None,
              channel_order: str | None = None) -> str:
        """Learns names from examples together, as a task of this predictor.

        Equal examples are learned once, whatever they are in: files, arrays, PIL images.

        Args:
            examples: One or more, with different names.
            words: What the task asks for beside them, as `classes` of a call.
            seconds: Time to learn in, once the images are read; None for no limit.
            steps: Steps exactly, whatever time they take: the same examples, steps and seed give
                the same result. None learns until the time is over or nothing gets better; 0 takes
                the start without training.
            seed: Seed of the order of the images.
            name: Name of the task in calls; default one that tells its content.
            out: Task file to write, for ``task=`` and ``glipkit predict --task``.
            channel_order: Of arrays; None takes the predictor's.

        Returns:
            The name, for ``task=`` of a call.

        Raises:
            UserError: Images or boxes that cannot be used, or a model that cannot learn names.
        """
        if out is not None:
            check_task_place(out)
        settings = LearnSettings(seconds, steps, seed)
        asked = as_query(words)
        found = self._read_examples(
            [examples] if isinstance(examples, Example) else examples, channel_order)
        key = name or '-'.join([_key(found), *asked.classes])
        self._learn(found, key, settings, asked)
        if out is not None:
            save_task(self._tasks.task(key), out)
        return key

    def _read_examples(self, examples: Sequence[Example], channel_order: str | None) -> ExampleSet:
        order = check_channel_order(channel_order or self.channel_order)
        return read_examples(examples, self._pipelines, order)

    def _learn(self, found: ExampleSet, key: str, settings: LearnSettings, words: Query) -> None:
        """Learns a task, unless it is what the name stands for already."""
        what = (found.digest, settings, words)
        with self._learning:
            if self._learned.get(key) != what:
                task = learn(self.model, self._pipelines, found, settings, self._tasks.base,
                             self._model_name, words)
                self._tasks.load(task, key)
                self._learned[key] = what

    def _with_examples(self, classes: Any, task: str | Path | None,
                       channel_order: str | None = None) -> tuple[Any, str | Path | None]:
        """The classes with names in the place of examples, and the task that knows them.

        Raises:
            UserError: As `learn`, or examples and a task.
        """
        if isinstance(classes, Example):
            classes = [classes]
        if not isinstance(classes, (list, tuple)) \
                or not any(isinstance(one, Example) for one in classes):
            return classes, task
        if task or (task is None and self._task):
            raise UserError('examples or a task', 'both', "pass task='', or learn the examples "
                            'into the task with glipkit prompt')
        found = self._read_examples([one for one in classes if isinstance(one, Example)],
                                    channel_order)
        key = _key(found)
        with self._learning:
            if key not in self._learned:  # whatever it was learned with
                self._learn(found, key, LearnSettings(), as_query(()))
        return [one.name if isinstance(one, Example) else one for one in classes], key


def _key(found: ExampleSet) -> str:
    """Name of the task of examples that is given no other."""
    return f'examples-{found.digest[:16]}'
