"""ONNX files, by torch's own exporter."""
from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from glipkit.errors import UserError
from glipkit.export.graph import Graph
from glipkit.files import atomic
from glipkit.runtime.description import KEY
from glipkit.runtime.engines import need

#: Version of ONNX's operators. Deformable convolution came with 19; of 22 and later onnxruntime
#: lacks RoIAlign.
OPSET = 21
#: Largest file of one piece: the limit of its format.
LIMIT = 2**31 - 2**24


def onnx_program(graph: Graph, divisor: int) -> Any:
    """A graph as an ONNX program of torch.

    Args:
        graph: What is exported.
        divisor: See :meth:`Graph.trace`.

    Raises:
        UserError: A package is missing, an operator is, or an error of :meth:`Graph.trace`.
    """
    need('onnx')
    need('onnxscript')
    with _quiet():
        traced = graph.trace(divisor)
        try:
            return torch.onnx.export(
                traced, (), dynamo=True, opset_version=OPSET, verbose=False,
                input_names=list(graph.inputs), output_names=list(graph.outputs),
                custom_translation_table={
                    torch.ops.torchvision.deform_conv2d.default: _deform_conv()})
        except torch.onnx.OnnxExporterError as error:
            lines = str(error.__cause__ or error).strip().splitlines() or ['']
            raise UserError('a model of operators that ONNX has', f'another one ({lines[0][:200]})',
                            'pass --size WxH, if you have not; else this model cannot be exported'
                            ) from error


def write_onnx(program: Any, path: Path, description: str) -> None:
    """Writes a program as one file, complete or not at all.

    Args:
        program: From :func:`onnx_program`.
        path: The file.
        description: Kept in its metadata.

    Raises:
        UserError: Nothing can be written there, or the model is too large for one file.
    """
    program.model.metadata_props[KEY] = description
    size = sum(value.const_value.nbytes for value in program.model.graph.initializers.values()
               if value.const_value is not None)
    if size > LIMIT:
        raise UserError('a model of less than 2 GiB, which is what an ONNX file holds',
                        f'{size / 2**30:.1f} GiB', 'take --format openvino')
    with atomic(path) as temporary, _quiet():
        program.save(str(temporary), external_data=False)


def _deform_conv() -> Any:
    """torchvision's modulated deformable convolution as ONNX's, which counts in the same order."""
    from onnxscript import opset21 as op

    def deform_conv2d(input: Any, weight: Any, offset: Any, mask: Any, bias: Any,
                      stride_h: int, stride_w: int, pad_h: int, pad_w: int, dilation_h: int,
                      dilation_w: int, groups: int, offset_groups: int, use_mask: bool) -> Any:
        return op.DeformConv(
            input, weight, offset, bias, mask if use_mask else None,
            strides=[stride_h, stride_w], pads=[pad_h, pad_w, pad_h, pad_w],
            dilations=[dilation_h, dilation_w], group=groups, offset_group=offset_groups)

    return deform_conv2d


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters and optimisers say of themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
