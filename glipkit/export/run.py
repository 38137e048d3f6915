"""A model, written for other programs."""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from glipkit.apis.asking import Classes
from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.export.description import describe
from glipkit.export.graph import make_graph
from glipkit.export.question import Question, make_question
from glipkit.export.settings import ExportSettings, check_place
from glipkit.models.contract import GroundingDetector
from glipkit.models.tensor_form import TensorForm
from glipkit.runtime.words import Words


def export_model(model: str | Path | GroundingDetector, out: str | Path,
                 classes: Classes | None = None, task: str | Path | None = None,
                 settings: ExportSettings | None = None,
                 checkpoint: str | Path | None = None, *,
                 negative_classes: Iterable[str] = (),
                 exclusive: Iterable[Iterable[str]] = ()) -> Path:
    """Writes a model for onnxruntime or OpenVINO; `glipkit.runtime` runs it.

    Args:
        model: Name, config or detector.
        out: The new file, ``.onnx`` or ``.xml``; beside an ``.xml`` its ``.bin``, and beside a
            graph that takes words as an input the words, ``.npz``.
        classes: What to look for, as calls of a predictor take it, or else:
        task: File that ``glipkit tune`` wrote.
        settings: Form of the file; None for the defaults.
        checkpoint: Weights, see `glipkit.Predictor`; not with a detector.
        negative_classes: What must not be found.
        exclusive: Groups of classes of which one object has one.

    Returns:
        ``out``.

    Raises:
        UserError: Something that cannot be used, before anything is written.
    """
    settings = settings or ExportSettings()
    out = check_place(out, settings.format)
    if settings.format == 'openvino':
        _check_new(out.with_suffix('.bin'))
    if settings.text_input:
        _check_new(out.with_suffix('.npz'))
    question = make_question(model, classes, task, checkpoint, negative_classes, exclusive)
    _check_weights(question)
    with torch.no_grad():
        form = question.model.tensor_form(question.query)
        if not form.open and (settings.text_input or settings.format == 'words'):
            raise UserError('one name for each class where words are an input of the graph',
                            'classes with several names, or names in an order of their own',
                            'export without --text-input, or leave the other names out')
        if settings.format == 'words':
            write_words(question, form, out)
        else:
            _write_graph(question, form, settings, out)
    return out


def _write_graph(question: Question, form: TensorForm, settings: ExportSettings,
                 out: Path) -> None:
    from glipkit.export.onnx_file import onnx_program, write_onnx
    graph = make_graph(form, settings)
    text = describe(question, form, settings, graph.words).to_json()
    way = '' if settings.size else '; a fixed --size WxH takes a fraction of that'
    note(f'tracing {question.name}, which may take many minutes{way}')
    program = onnx_program(graph, form.divisor)
    if settings.text_input:
        write_words(question, form, out.with_suffix('.npz'))
    if settings.format == 'onnx':
        write_onnx(program, out, text)
    else:
        from glipkit.export.openvino_file import write_openvino
        write_openvino(program, out, text, settings.dtype)


def write_words(question: Question, form: TensorForm, path: Path) -> None:
    """Writes what a model knows of words, for graphs that take it as an input.

    Args:
        question: Model and words.
        form: Its tensor form.
        path: A ``.npz`` file.
    """
    tensors = {name: value.cpu().numpy() for name, value in form.words.items()}
    tensors['starts'] = form.starts.numpy()
    Words(question.classes, tuple(form.starts.tolist()), question.weights, tensors,
          question.query.groups).write(path)


def _check_new(path: Path) -> None:
    if path.exists():
        raise UserError('no file in the way', f'{path}, which would be written too',
                        'choose another name for --out; nothing is overwritten')


def _check_weights(question: Question) -> None:
    """Refuses a model that is not in float32 on the processor."""
    wrong = {(str(p.dtype), p.device.type) for p in question.model.parameters()
             if p.dtype != torch.float32 or p.device.type != 'cpu'}
    if wrong:
        raise UserError('a model in float32 on the processor', ' '.join(sorted(wrong)[0]),
                        "load it with device='cpu', and choose the dtype of the export")
