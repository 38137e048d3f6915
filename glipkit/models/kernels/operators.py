"""Operators of our own that PyTorch's tracers take as one piece.

`torch.library.custom_op` does the same, but its first call imports PyTorch's compiler, whether
anything is compiled or not: a second of a processor's time in every prediction from a command line.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch


class Operator:
    """A function of tensors as the operator ``torch.ops.glipkit.NAME``.

    Args:
        name: Name of the operator.
        function: What it computes; its annotations are the schema. Results share no memory with
            the arguments.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = f'glipkit::{name}'
        self.__doc__ = function.__doc__
        torch.library.define(self.name, torch.library.infer_schema(function, mutates_args=()),
                             tags=(torch.Tag.pt2_compliant_tag, ))
        torch.library.impl(self.name, 'default', _untraced(function))
        self._call = getattr(torch.ops.glipkit, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def register_fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Shapes and types of the results, for tracers; a decorator."""
        return torch.library.register_fake(self.name, function)

    def register_autograd(self, backward: Callable[..., Any],
                          setup_context: Callable[..., None]) -> None:
        """Gradients, as in `torch.library.register_autograd`."""
        torch.library.register_autograd(self.name, backward, setup_context=setup_context)


def operator(name: str) -> Callable[[Callable[..., Any]], Operator]:
    """Makes an operator of the function below it."""
    return lambda function: Operator(name, function)


def _untraced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiler, where one is at work, leaves the function's Python code alone."""
    disabled: list[Callable[..., Any]] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        if 'torch._dynamo' not in sys.modules:
            return function(*args, **kwargs)
        if not disabled:
            disabled.append(torch.compiler.disable(function))
        return disabled[0](*args, **kwargs)

    return call
