"""One graph out of a detector's tensor form: what goes in, which axes have any length."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.export.settings import ExportSettings
from glipkit.models.tensor_form import Suppressed, TensorForm

#: Example of an image of any size: units of the divisor, or pixels. Nothing in it is equal.
_UNITS, _PIXELS = (8, 10), (224, 288)
_REGIONS = 5
#: Length from which on the exporter takes an axis for one of any length.
_LONG = 3
#: Smallest side of images of any size, in pixels, where none is padded to a divisor.
_LEAST = 64


@dataclass(frozen=True)
class Graph:
    """A module that can be traced, and its interface.

    Attributes:
        module: Called with the inputs in their order.
        inputs: Name -> example.
        outputs: Names.
        axes: Input or output -> axes of any length -> their names.
        words: Names of the inputs that hold words.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]
    words: tuple[str, ...]

    def trace(self, divisor: int) -> torch.export.ExportedProgram:
        """The graph as torch's exporter follows it.

        Args:
            divisor: Pixels of which both sides of an image of any size are multiples.

        Raises:
            UserError: The exporter cannot follow the model through images of any size.
        """
        dims: dict[str, Any] = {}
        shapes = [{axis: _dim(name, divisor, dims) for axis, name in self.axes.get(key, {}).items()}
                  for key in self.inputs]
        try:
            with torch.no_grad():
                return torch.export.export(
                    self.module, tuple(self.inputs.values()), strict=False,
                    dynamic_shapes=_nested(shapes) if any(shapes) else None)
        except Exception as error:  # the exporter's errors have no common type
            if 'height' not in dims:
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError('a model that can be exported for images of any size',
                            f'one that cannot ({lines[0][:200]})', 'pass --size WxH') from error


class _Baked(nn.Module):
    """A form with its words inside: called with the image and what else it takes."""

    def __init__(self, module: nn.Module, words: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.module, self.names = module, tuple(words)
        for name, value in words.items():
            self.register_buffer(f'word_{name}', value.clone())

    def forward(self, image: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        words = [getattr(self, f'word_{name}') for name in self.names]
        return self.module(image, *rest, *words)


class _Open(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return self.module(image, *rest)


def make_graph(form: TensorForm, settings: ExportSettings) -> Graph:
    """The graph that settings ask for.

    Args:
        form: From :meth:`GroundingDetector.tensor_form`.
        settings: Its form.

    Raises:
        UserError: A size that is not a multiple of what the model needs.
    """
    form = form.eval().requires_grad_(False)
    inputs: dict[str, Tensor] = dict(image=torch.rand(1, 3, *_image_size(form, settings)))
    axes: dict[str, Mapping[int, str]] = {}
    if settings.size is None:
        axes['image'] = {2: 'height', 3: 'width'}
    module: nn.Module = form
    words = dict(form.words)
    if settings.nms:
        module = Suppressed(form)
        inputs['image_size'] = torch.tensor(inputs['image'].shape[2:])
        words['starts'] = form.starts
    for name, shape in form.inputs.items():
        # Boxes of any size inside of the image.
        inputs[name] = torch.rand(_REGIONS, *shape[1:]).sort(1).values * 64
        axes[name] = form.axes[name]
    outputs = module.outputs
    if settings.text_input:
        inputs |= {name: _longer(value, form.axes.get(name, {})) for name, value in words.items()}
        axes |= {name: form.axes[name] for name in words if name in form.axes}
        module = _Open(module)
    else:
        module = _Baked(module, words)
    return Graph(module.eval(), inputs, outputs, axes, tuple(words) if settings.text_input else ())


def _image_size(form: TensorForm, settings: ExportSettings) -> tuple[int, int]:
    if settings.size is None:
        if form.any_size:
            return _PIXELS if form.divisor == 1 else tuple(form.divisor * n for n in _UNITS)
        raise UserError('a size for a model that needs one', 'none',
                        'pass --size WxH, such as the size its images usually have')
    if any(side % form.divisor for side in settings.size):
        height, width = (-(-side // form.divisor) * form.divisor for side in settings.size)
        raise UserError(f'a size of multiples of {form.divisor} pixels',
                        f'{settings.size[1]}x{settings.size[0]}', f'pass --size {width}x{height}')
    return settings.size


def _longer(value: Tensor, axes: Mapping[int, str]) -> Tensor:
    """An example whose free axes are long enough: lengths of 1 and 2 the exporter would keep."""
    for axis in axes:
        count = -(-_LONG // value.shape[axis])
        value = torch.cat([value] * count, axis)
    return value


def _least(name: str, divisor: int) -> int:
    """Smallest length of an axis. Maps of a single cell would be another graph, and so would a
    single label beside the background."""
    if name in ('height', 'width'):
        return _LEAST if divisor == 1 else 2
    return _LONG if name == 'labels' else 2


def _nested(shapes: list[dict[int, Any]]) -> tuple:
    """Shapes of (image, *rest) as the exporter wants them: without a tuple for no rest."""
    return (shapes[0], tuple(shapes[1:])) if shapes[1:] else (shapes[0], )


def _dim(name: str, divisor: int, known: dict[str, Any]) -> Any:
    """The axis of a name, the same wherever it stands."""
    if name not in known:
        known[name] = torch.export.Dim(f'{name}s' if divisor > 1 and name in ('height', 'width')
                                       else name, min=_least(name, divisor), max=4096)
    if name in ('height', 'width') and divisor > 1:
        return divisor * known[name]
    return known[name]
