"""A student as an ONNX file, which `glipkit.runtime` runs without PyTorch."""
from __future__ import annotations

from pathlib import Path

import torch

from glipkit.apis.tasks import fingerprint
from glipkit.distil.student import SHOWN_ABOVE, Student
from glipkit.distil.tensor_form import DenseForm
from glipkit.export.graph import make_graph
from glipkit.export.onnx_file import onnx_program, write_onnx
from glipkit.export.settings import ExportSettings
from glipkit.runtime.description import Description
from glipkit.version import __version__


def export_student(student: Student, out: Path, name: str) -> Path:
    """Writes a student; complete or not at all.

    Args:
        student: The student, on the processor.
        out: The file.
        name: Name of the model, for people.

    Raises:
        UserError: A student that cannot be exported, or a package that is missing.
    """
    size = (student.cfg.size, student.cfg.size)
    form = DenseForm(student.model, student.cfg.size)
    graph = make_graph(form, ExportSettings(size=size))
    with torch.no_grad():
        program = onnx_program(graph, form.divisor)
    data = student.model.data_preprocessor
    step = student.cfg.test_pipeline[1]
    write_onnx(program, out, Description(
        model=name, version=__version__, weights=fingerprint(student.model),
        classes=student.classes, starts=(0, ), score_threshold=SHOWN_ABOVE,
        image=dict(channels='rgb' if data._channel_conversion else 'bgr',
                   mean=data.mean.flatten().tolist(), std=data.std.flatten().tolist(),
                   resize=dict(rule='long_side', long=step['size'],
                               interpolation=step['interpolation']), divisor=form.divisor),
        size=size, rules=form.rules).to_json())
    return out
