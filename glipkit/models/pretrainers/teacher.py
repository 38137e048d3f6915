"""A module that others learn from, and that learns nothing itself."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import nn

Module = TypeVar('Module', bound=nn.Module)


class FrozenTeacher(Generic[Module]):
    """Keeps a module out of a training: no gradients, always in evaluation mode.

    It is no module, so it adds no prefix: its owner registers the module under a name of its own,
    which is the name in the state dict, and it calls `hold` in its ``train``::

        self.teacher_backbone = MODELS.build(teacher_backbone)
        self.teacher = FrozenTeacher(self.teacher_backbone)
        ...
        with self.teacher.asked() as backbone:
            features = backbone.embed_image(images)

    Args:
        module: The teacher; its parameters lose their gradients for good.
    """

    def __init__(self, module: Module) -> None:
        self._module = module.requires_grad_(False)
        self.hold()

    def hold(self) -> None:
        """Puts the module back into evaluation mode, after a ``train`` of its owner."""
        self._module.eval()

    @contextmanager
    def asked(self) -> Iterator[Module]:
        """The module, in evaluation mode; nothing inside the block is recorded for gradients."""
        self.hold()
        with torch.no_grad():
            yield self._module
