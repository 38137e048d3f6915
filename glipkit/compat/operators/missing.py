"""Operators that glipkit does not serve: they exist, and raise an error when called."""
from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn


class OperatorNotServed(NotImplementedError):
    """A call of an operator that only a compiled mmcv has."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f'{name} needs a compiled mmcv: this installation has none that loads, and glipkit '
            'serves only the operators that detectors commonly use (nms, soft-nms, roi_align, '
            'roi_pool, deformable convolution and attention, focal losses). Use a model without '
            'it, or install an mmcv whose operators were compiled for your PyTorch')

    def __reduce__(self):
        return type(self), (self.name, )


def missing_operator(name: str) -> Callable[..., NoReturn]:
    """A callable that stands in for operator ``name`` and raises :class:`OperatorNotServed`."""

    def operator(*args, **kwargs) -> NoReturn:
        raise OperatorNotServed(name)

    operator.__name__ = operator.__qualname__ = name
    return operator
