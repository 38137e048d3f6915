"""What learns a thing from pictures with boxes: the one place where the server meets it."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glipkit.apis.predictor import Predictor
    from glipkit.apis.tasks import Task
    from glipkit.serve.references import Reference


def learn_task(predictor: Predictor, references: Sequence[Reference], seconds: float) -> Task:
    """A task that finds the things of some references, learned together.

    Args:
        predictor: Whose model learns; it stays as it is.
        references: The things.
        seconds: Budget.

    Raises:
        UserError: The model cannot learn them.
    """
    raise NotImplementedError
