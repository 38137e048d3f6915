"""The page of a model or task on the Hugging Face hub: fields for programs, a text for people."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glipkit.common.markdown import markdown_table
from glipkit.errors import UserError

_LICENCE = re.compile(r'[a-z0-9][a-z0-9.+-]*')
_USE = '''```python
import glipkit

predict = glipkit.Predictor({arguments})
found, = predict('photo.jpg'{asked})
print(found.boxes, found.scores, found.names)
found.plot().save('found.png')
```'''


@dataclass(frozen=True)
class Licence:
    """What others may do with a model.

    Args:
        name: One of the hub's short names, such as ``apache-2.0``, or ``other``.
        own_name: Its name where it is ``other``.
        link: Where its text is; for ``other``.
    """

    name: str
    own_name: str | None = None
    link: str | None = None

    def check(self) -> None:
        """Refuses what the hub would not take.

        Raises:
            UserError: No short name, or ``other`` without a name of its own.
        """
        if not _LICENCE.fullmatch(self.name):
            raise UserError('the short name of a licence (apache-2.0, mit, cc-by-nc-4.0, other)',
                            repr(self.name), 'see huggingface.co/docs/hub/repositories-licenses')
        if (self.name == 'other') != bool(self.own_name):
            raise UserError('--license-name with --license other, and with it alone',
                            'one of them', 'pass both or none')


@dataclass(frozen=True)
class Card:
    """What the page of a model or task says.

    Args:
        repository: ``owner/name``.
        model: Name or config of the detector.
        licence: Licence of what is published.
        about: One sentence.
        classes: Classes of a task; None for a model, which is asked for any.
        own_config: Whether the config is no name of glipkit's, and comes along.
        base_model: Repository on the hub that it was made from.
        base_licence: ``code`` and ``weights`` -> licence that the authors of the base state.
        datasets: Data sets on the hub that it was trained on.
        metrics: Name -> value.
        protocol: How they were computed, and on what.
        details: Rows of a table: what -> how.
    """

    repository: str
    model: str
    licence: Licence
    about: str
    classes: tuple[str, ...] | None = None
    own_config: bool = False
    base_model: str | None = None
    base_licence: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    protocol: str = ''
    details: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The page, in markdown with the hub's fields above it."""
        parts = [f'---\n{self._fields()}\n---', f'# {self.repository.split("/")[1]}', self.about,
                 '## Use', self._use()]
        if self.classes is not None:
            parts += ['## Classes', ', '.join(f'`{name}`' for name in self.classes)]
        if self.metrics:
            parts += ['## Results', markdown_table(
                ('metric', 'value'), [(name, f'{value:.4g}')
                                      for name, value in self.metrics.items()], right=(1, ))]
            parts += [self.protocol] if self.protocol else []
        parts += ['## About', markdown_table(('', ''), list(self._about().items()))]
        return '\n\n'.join(parts) + '\n'

    def _fields(self) -> str:
        from huggingface_hub import EvalResult, ModelCardData
        task = 'zero-shot-object-detection' if self.classes is None else 'object-detection'
        results = [EvalResult(task, self.datasets[0] if self.datasets else 'custom',
                              ', '.join(self.datasets) or 'see the page', name, value,
                              metric_name=name) for name, value in self.metrics.items()]
        known: dict[str, Any] = dict(
            license=self.licence.name, license_name=self.licence.own_name,
            license_link=self.licence.link, base_model=self.base_model,
            datasets=list(self.datasets) or None,
            metrics=[name for name in self.metrics if ' ' not in name] or None,
            tags=['glipkit', 'mmdetection', 'open-vocabulary'])
        data = ModelCardData(
            library_name='glipkit', pipeline_tag=task,
            **{name: value for name, value in known.items() if value is not None},
            **(dict(model_name=self.repository.split('/')[1], eval_results=results)
               if results else {}))
        return data.to_yaml().strip()

    def _use(self) -> str:
        model = "'config.py'" if self.own_config else repr(self.model)
        kind, asked = ('checkpoint', ", classes=['cat', 'traffic light']") \
            if self.classes is None else ('task', '')
        arguments = f'{model}, {kind}={self.repository!r}'
        words = [_USE.format(arguments=arguments, asked=asked)]
        words += ['with glipkit. Loading takes the weights alone; no code of this repository runs.']
        if self.own_config:
            words += ['`config.py` is the config of the model: read it, for it is Python, and '
                      f'download it with `hf download {self.repository} config.py`.']
        return '\n\n'.join(words)

    def _about(self) -> dict[str, str]:
        rows = {'licence': self.licence.own_name or self.licence.name, **self.details}
        if self.base_model:
            rows['made from'] = f'[{self.base_model}](https://huggingface.co/{self.base_model})'
        for what, licence in self.base_licence.items():
            rows[f'licence of {self.model}, {what}'] = licence
        if self.datasets:
            rows['trained on'] = ', '.join(self.datasets)
        return rows
