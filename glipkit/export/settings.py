"""What is exported, and how."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from glipkit.errors import UserError
from glipkit.files import can_be_made, check_file

#: Format -> ending of its file.
FORMATS = {'onnx': '.onnx', 'openvino': '.xml', 'words': '.npz'}
#: Format -> types that its runtime computes in, or keeps weights in, on a processor.
DTYPES = {'onnx': ('float32', ), 'openvino': ('float32', 'float16', 'bf16'),
          'words': ('float32', )}
ALL_DTYPES = ('float32', 'float16', 'bf16', 'int8')


@dataclass(frozen=True)
class ExportSettings:
    """The form of an exported file.

    Attributes:
        format: ``'onnx'``; ``'openvino'``; or ``'words'``, for the words alone of a model that was
            exported with ``text_input``.
        size: (height, width) of the image; None for any.
        text_input: Whether what the model knows of the words is an input; it is written beside the
            graph.
        nms: Whether overlapping boxes are suppressed in the graph.
        dtype: ``'float32'``; with OpenVINO also ``'float16'`` (weights are kept in it) and
            ``'bf16'`` (computed in it, where the processor does).

    Raises:
        UserError: A format or type that does not exist, or that the other cannot have.
    """

    format: str = 'onnx'
    size: tuple[int, int] | None = None
    text_input: bool = False
    nms: bool = False
    dtype: str = 'float32'

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UserError(f'a format ({", ".join(FORMATS)})', repr(self.format), 'choose one')
        if self.dtype not in DTYPES[self.format]:
            raise UserError(f'for {self.format} a dtype of {", ".join(DTYPES[self.format])}',
                            repr(self.dtype), _WHY.get((self.format, self.dtype), 'choose one'))


_WHY = {
    ('onnx', 'float16'): "onnxruntime computes in float32 on a processor; take format 'openvino'",
    ('onnx', 'bf16'): "onnxruntime computes in float32 on a processor; take format 'openvino'",
    ('onnx', 'int8'): 'eight bits do not pay here (docs/export.md); take float32',
    ('openvino', 'int8'): 'eight bits do not pay here (docs/export.md); take float16 or bf16'}


def read_size(text: str) -> tuple[int, int]:
    """(height, width) of ``'1344x800'``, which is width x height.

    Raises:
        UserError: Anything else.
    """
    match = re.fullmatch(r'(\d{1,5})x(\d{1,5})', text.strip())
    if match is None or 0 in (int(match[1]), int(match[2])):
        raise UserError('a size as 1344x800 (width x height)', repr(text), 'pass another --size')
    return int(match[2]), int(match[1])


def check_place(out: str | Path, form: str) -> Path:
    """The path of a new file, before any work.

    Raises:
        UserError: It exists, its folder does not, or its name ends otherwise.
    """
    out = Path(out)
    if out.suffix != FORMATS[form]:
        raise UserError(f'a name that ends in {FORMATS[form]} for --format {form}', str(out),
                        'choose another name')
    if out.exists():
        raise UserError('a new file', f'{out}, which exists',
                        'choose another name; nothing is overwritten')
    if not out.parent.is_dir() and can_be_made(out.parent):
        raise UserError('a folder that exists', f'{out.parent}, which does not', 'make it first')
    check_file(out)
    return out
