"""What a task knows of its scores: a probability for each, and a threshold for each class.

Measured by ``glipkit calibrate``, kept in the task file, used by predictors and exported models.
Nothing here needs PyTorch or scikit-learn.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from glipkit.apis.detections import Detections
from glipkit.common.score_maps import ScoreMap, is_finite, shifted

IDENTITY = ScoreMap()


@dataclass(frozen=True, eq=False)
class Calibration:
    """Maps and thresholds of a task's scores.

    Args:
        by: What the thresholds were chosen by, as on the command line: ``'f1'``,
            ``'precision=0.9'``, ``'fp-per-image=0.1'``.
        method: ``'isotonic'``, ``'temperature'`` or ``'none'``.
        thresholds: Class name -> lowest probability that is shown.
        default: Lowest probability that is shown of all other names.
        shared: Map of the scores of all classes, or of any name.
        shifts: Class name -> what is then added to the log odds, for a class that is found more or
            less reliably than others of equal scores.
        final: Map of what the shifts make of all classes.
        per_object: Rule under which it was measured, as of `Predictor`.
        numbers: Measurements before and after, for reports.
        notes: What a reader should know, in sentences.
    """

    by: str
    method: str
    thresholds: Mapping[str, float]
    default: float
    shared: ScoreMap = IDENTITY
    shifts: Mapping[str, float] = field(default_factory=dict)
    final: ScoreMap = IDENTITY
    per_object: str = 'one'
    numbers: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def probabilities(self, scores: np.ndarray, labels: np.ndarray,
                      names: Sequence[str]) -> np.ndarray:
        """Probabilities (N,) float32 of scores (N,), whose labels (N,) index the names."""
        moved = shifted(self.shared(scores), self._shifts(names)[labels])
        return self.final(moved).astype(np.float32)

    def limits(self, names: Sequence[str]) -> np.ndarray:
        """Lowest probability (K,) that is shown of each of K names."""
        return np.array([self.thresholds.get(name, self.default) for name in names], np.float64)

    def lowest_scores(self, names: Sequence[str], limits: np.ndarray) -> np.ndarray:
        """Scores (K,) before the map that come to these probabilities (K,)."""
        return self.shared.inverse(shifted(self.final.inverse(limits), -self._shifts(names)))

    def _shifts(self, names: Sequence[str]) -> np.ndarray:
        return np.array([self.shifts.get(name, 0.) for name in names], np.float64)

    def applied(self, found: Detections) -> Detections:
        """The same detections with probabilities for scores, best first."""
        scores = self.probabilities(found.scores, found.labels, found.classes)
        order = np.argsort(-scores, kind='stable')
        return replace(found, scores=scores)[order]

    @cached_property
    def json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return dict(by=self.by, method=self.method, thresholds=dict(self.thresholds),
                    default=self.default, shared=self.shared.as_json(),
                    shifts=dict(self.shifts), final=self.final.as_json(),
                    per_object=self.per_object, numbers=dict(self.numbers),
                    notes=list(self.notes))

    @classmethod
    def from_json(cls, content: Any) -> Calibration:
        """Reads a calibration; keys that it does not know are left out.

        Raises:
            ValueError: It is none.
        """
        if not isinstance(content, Mapping):
            raise ValueError('its calibration is no dictionary')
        try:
            for key, kind in _KINDS.items():
                if not isinstance(content[key], kind):
                    raise ValueError(f'its {key} is of another type')
            for name, limit in [*content['thresholds'].items(), ('others', content['default'])]:
                if not is_finite(limit) or not 0 <= limit <= 1:
                    raise ValueError(f'the threshold of {name!r} is {limit!r}')
            for name, shift in content['shifts'].items():
                if not is_finite(shift):
                    raise ValueError(f'the shift of {name!r} is {shift!r}')
            shared, final = (ScoreMap.from_json(content[key]) for key in ('shared', 'final'))
            if content['per_object'] not in ('one', 'all'):
                raise ValueError(f'its per_object is {content["per_object"]!r}')
        except (KeyError, ValueError) as error:
            missing = f'it has no {error}' if isinstance(error, KeyError) else error
            raise ValueError(f'its calibration cannot be used: {missing}') from error
        return cls(**{**{key: content[key] for key in _KINDS}, 'shared': shared,
                      'final': final, 'notes': tuple(map(str, content['notes']))})


_KINDS = {'by': str, 'method': str, 'thresholds': Mapping, 'default': (int, float),
          'shared': Mapping, 'shifts': Mapping, 'final': Mapping, 'per_object': str,
          'numbers': Mapping, 'notes': list}
