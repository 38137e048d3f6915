"""OpenVINO's own files, made of ONNX programs."""
from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from glipkit.export.onnx_file import write_onnx
from glipkit.files import cannot_write
from glipkit.runtime.description import KEY
from glipkit.runtime.engines import need

#: Type of an export -> type in which OpenVINO computes.
_COMPUTE = {'float32': 'f32', 'float16': 'f32', 'bf16': 'bf16'}


def write_openvino(program: Any, path: Path, description: str, dtype: str) -> None:
    """Writes a program as ``.xml`` with its ``.bin``, complete or not at all.

    Args:
        program: From :func:`~.onnx_file.onnx_program`.
        path: The ``.xml`` file.
        description: Kept in its runtime information.
        dtype: ``'float16'`` keeps weights in half precision, ``'bf16'`` computes in bfloat16.

    Raises:
        UserError: Nothing can be written there, or OpenVINO is not installed.
    """
    openvino = need('openvino')
    try:
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=f'.{path.name}.',
                                             suffix='.part')
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    with folder as name:
        begun = Path(name)
        write_onnx(program, begun / 'model.onnx', description)
        model = openvino.convert_model(begun / 'model.onnx', extension=[_deform_conv()])
        model.set_rt_info(description, [KEY, 'description'])
        model.set_rt_info(_COMPUTE[dtype], [KEY, 'compute'])
        (begun / 'model.onnx').unlink()
        openvino.save_model(model, begun / path.name, compress_to_fp16=dtype == 'float16')
        try:
            for file in (begun / path.with_suffix('.bin').name, begun / path.name):
                os.replace(file, path.parent / file.name)
        except OSError as error:
            raise cannot_write(path, error) from error


def _deform_conv() -> Any:
    """ONNX's deformable convolution, which OpenVINO's reader does not know but its kernels do."""
    import openvino.opset8 as op
    from openvino.frontend import NodeContext
    from openvino.frontend.onnx import ConversionExtension

    def convert(node: NodeContext) -> list:
        data, weight, offset, bias, mask = (node.get_input(i) for i in range(5))
        pads = node.get_attribute('pads')
        found = op.deformable_convolution(
            data, offset, weight, node.get_attribute('strides'), pads[:2], pads[2:],
            node.get_attribute('dilations'), mask, group=node.get_attribute('group'),
            deformable_group=node.get_attribute('offset_group'), bilinear_interpolation_pad=True)
        return op.add(found, op.reshape(bias, [1, -1, 1, 1], False)).outputs()

    return ConversionExtension('DeformConv', '', convert)
