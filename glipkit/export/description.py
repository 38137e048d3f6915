"""What an exported file says of itself, taken from the model and its config."""
from __future__ import annotations

from typing import Any

from mmengine.config import Config

from glipkit.apis.arguments import default_threshold
from glipkit.errors import UserError
from glipkit.export.question import Question
from glipkit.export.settings import ExportSettings
from glipkit.models.contract import GroundingDetector
from glipkit.models.tensor_form import TensorForm
from glipkit.runtime.description import Description
from glipkit.version import __version__

#: Steps that make no difference to one image.
_OTHERS = ('LoadImageFromFile', 'LoadImage', 'LoadAnnotations', 'PackGrounding')


def describe(question: Question, form: TensorForm, settings: ExportSettings,
             words: tuple[str, ...]) -> Description:
    """The description of an exported graph.

    Args:
        question: Model and words.
        form: Its tensor form.
        settings: Of the export.
        words: Inputs of the graph that hold words.

    Raises:
        UserError: A test pipeline with steps that the runtime does not have.
    """
    closed = not words
    learned, avoided = question.model.learned_labels(question.query) if closed else ((), None)
    return Description(
        model=question.name, version=__version__, weights=question.weights,
        classes=question.classes if closed else (),
        starts=tuple(form.starts.tolist()) if closed else (),
        score_threshold=default_threshold(question.model.cfg),
        image={**_pixels(question.model), 'resize': _resize(question.model.cfg),
               'divisor': form.divisor},
        size=settings.size, rules=form.rules, suppressed=settings.nms, words=words,
        exclusive=question.query.groups if closed else (),
        learned=learned, avoided=avoided,
        dtype=settings.dtype, category_ids=question.category_ids if closed else None,
        task=question.task, calibration=question.calibration)


def _pixels(model: GroundingDetector) -> dict[str, Any]:
    """Channels, mean and deviation of a detector's data preprocessor."""
    data = model.data_preprocessor
    if not getattr(data, '_enable_normalize', False) or getattr(data, 'pad_value', 0):
        raise UserError('a data_preprocessor with mean and std that pads with zeros',
                        f'a {type(data).__name__} without', 'complete it in the config')
    return dict(channels='rgb' if data._channel_conversion else 'bgr',
                mean=data.mean.flatten().tolist(), std=data.std.flatten().tolist())


def _resize(cfg: Config) -> dict[str, Any]:
    """The rule of the one resizing step of a test pipeline."""
    steps = [step for step in cfg.test_pipeline
             if step['type'].rpartition('.')[2] not in _OTHERS]
    kinds = [step['type'].rpartition('.')[2] for step in steps]
    if len(steps) == 1 and steps[0].get('backend', 'pillow') == 'pillow':
        step = steps[0]
        if kinds[0] in ('ShortSideResize', 'GlipResize'):
            scale = step['scale'] if isinstance(step['scale'], (list, tuple)) \
                else (step['scale'], ) * 2
            return dict(rule='short_side', short=min(scale), long=max(scale),
                        interpolation=step.get('interpolation', 'bilinear'))
        if kinds[0] == 'LongSideResize':
            return dict(rule='long_side', long=step['size'],
                        interpolation=step.get('interpolation', 'bicubic'))
    raise UserError('a test_pipeline that reads, resizes once by Pillow and packs',
                    ', '.join(kinds) or 'one without resizing',
                    'take glipkit.ShortSideResize or glipkit.LongSideResize')
