"""What learns a thing from pictures with boxes: the one place where the server meets it."""
from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from glipkit.apis.predictor import Predictor
    from glipkit.apis.tasks import Task
    from glipkit.serve.references import Reference


def learn_task(predictor: Predictor, references: Sequence[Reference], seconds: float,
               steps: int | None = None) -> Task:
    """A task that finds the things of some references, learned together.

    Args:
        predictor: Whose model learns; it stays as it is.
        references: The things.
        seconds: Budget.
        steps: Steps exactly, so that the result does not depend on the machine; None takes as many
            as the seconds allow.

    Raises:
        UserError: The model cannot learn them.
    """
    from glipkit.apis.examples import Example
    from glipkit.apis.tasks import read_task
    examples = [Example(list(one.pictures), [np.array(boxes, np.float32).reshape(-1, 4)
                                             for boxes in one.boxes], one.name,
                        [np.array(boxes, np.float32).reshape(-1, 4) for boxes in one.negatives]
                        if any(one.negatives) else None) for one in references]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'task.safetensors'
        name = predictor.learn(examples, seconds=seconds, steps=steps, out=file)
        try:
            return read_task(file)
        finally:
            # The server keeps it under a name of its own, for as long as it says.
            predictor.forget_task(name)


def warm_up() -> None:
    """Imports what learning needs, some seconds' worth, which nobody shall wait for later.

    While a module of PyTorch is imported, predictions in other threads wait for it.
    """
    import torch._dynamo  # noqa: F401 the first optimiser would

    import glipkit.apis.examples  # noqa: F401
