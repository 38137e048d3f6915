"""What an exported file says of itself, as JSON in its metadata."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from glipkit.apis.calibration import Calibration
from glipkit.errors import UserError

#: Key of the metadata of ONNX files, and of the runtime information of OpenVINO's.
KEY = 'glipkit'
FORMAT = 'glipkit-export-1'


@dataclass(frozen=True)
class Description:
    """All that a program needs to know around the graph.

    Attributes:
        model: Name of the model.
        version: Version of glipkit that exported it.
        weights: SHA-256 of the model's weights, see `glipkit.apis.tasks.fingerprint`.
        classes: Class names in the order of their labels; empty where they come with the words.
        starts: Label at which each prompt starts.
        score_threshold: Lowest score that is shown by default.
        image: How pixels become the input ``image``: ``channels`` 'bgr' or 'rgb'; ``mean`` and
            ``std`` of pixels from 0 to 255; ``resize`` with ``rule`` 'short_side' (``short``,
            ``long``) or 'long_side' (``long``) and ``interpolation``; ``divisor`` of both sides, to
            which zeros are padded right and below.
        size: (height, width) of the image; None for any.
        rules: What the outputs mean, see :mod:`glipkit.runtime.rules`.
        suppressed: Whether the outputs are detections already.
        words: Names of the inputs that hold what the model knows of the words; empty where the
            graph has it inside.
        dtype: Type in which the file's weights are, or in which it is to be computed.
        category_ids: Category id of each class, where a task file tells them.
        exclusive: Groups of labels of which one object has one. Labels from the number of classes
            on are negatives, which are never returned.
        learned: Labels of names that were learned from examples.
        avoided: Label from which on negatives were learned with them; None where none were.
        task: What a task file says of itself; None without one.
        calibration: What the task knows of its scores; None where nobody measured.
    """

    model: str
    version: str
    weights: str
    classes: tuple[str, ...]
    starts: tuple[int, ...]
    score_threshold: float
    image: Mapping[str, Any]
    size: tuple[int, int] | None
    rules: Mapping[str, Any]
    suppressed: bool = False
    words: tuple[str, ...] = ()
    dtype: str = 'float32'
    category_ids: tuple[int, ...] | None = None
    task: Mapping[str, Any] | None = None
    exclusive: tuple[tuple[int, ...], ...] = ()
    learned: tuple[int, ...] = ()
    avoided: int | None = None
    calibration: Calibration | None = None

    def to_json(self) -> str:
        """What :meth:`from_json` reads."""
        content = asdict(replace(self, calibration=None))
        if self.calibration is not None:
            content['calibration'] = self.calibration.json
        return json.dumps({'format': FORMAT, **content}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | None, path: Any) -> Description:
        """Reads the metadata of a file.

        Args:
            text: The metadata; None where the file has none.
            path: The file, for messages.

        Raises:
            UserError: The file was not made by ``glipkit export``, or by another version of it.
        """
        try:
            content = json.loads(text or '')
            if content.pop('format') != FORMAT:
                raise ValueError('another version of the format')
            lists = {name: tuple(content[name]) for name in (
                'classes', 'starts', 'size', 'words', 'category_ids') if content[name] is not None}
            lists['exclusive'] = tuple(map(tuple, content.get('exclusive', ())))
            lists['learned'] = tuple(content.get('learned', ()))
            if content.get('calibration') is not None:
                lists['calibration'] = Calibration.from_json(content['calibration'])
            known = {one.name for one in fields(cls)}
            return cls(**{key: value for key, value in content.items() if key in known} | lists)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError('a model that glipkit export wrote',
                            f'{path} ({error})'.splitlines()[0], 'export it again') from error
