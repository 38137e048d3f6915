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
from glipkit.common.score_maps import ScoreMap

IDENTITY = ScoreMap()


@dataclass(frozen=True, eq=False)
class Calibration:
    """Maps and thresholds of a task's scores.

    Args:
        by: What the thresholds were chosen by, as on the command line: ``'f1'``,
            ``'precision=0.9'``, ``'fp-per-image=0.1'``.
        method: ``'isotonic'``, ``'temperature'`` or ``'none'``.
        thresholds: Class name -> lowest probability that is shown. Classes that are not there keep
            the default threshold of the model, which counts before the map.
        shared: Map of the scores of all classes without a map of their own.
        maps: Class name -> its own map.
        per_object: Rule under which it was measured, as of `Predictor`.
        numbers: Measurements before and after, for reports.
        notes: What a reader should know, in sentences.
    """

    by: str
    method: str
    thresholds: Mapping[str, float]
    shared: ScoreMap = IDENTITY
    maps: Mapping[str, ScoreMap] = field(default_factory=dict)
    per_object: str = 'one'
    numbers: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def map_of(self, name: str) -> ScoreMap:
        """The map of a class; of a name that was never measured the shared one."""
        return self.maps.get(name, self.shared)

    def probabilities(self, scores: np.ndarray, labels: np.ndarray,
                      names: Sequence[str]) -> np.ndarray:
        """Probabilities (N,) float32 of scores (N,), whose labels (N,) index the names."""
        if not self.maps:
            return self.shared(scores).astype(np.float32)
        found = np.zeros(len(scores), np.float32)
        for label in np.unique(labels):
            own = labels == label
            found[own] = self.map_of(names[label])(np.asarray(scores)[own])
        return found

    def limits(self, names: Sequence[str], default: float) -> np.ndarray:
        """Lowest probability (K,) that is shown of each name.

        Args:
            names: Of K classes.
            default: The model's own threshold on scores, for classes without one here.
        """
        own = [self.thresholds.get(name) for name in names]
        return np.array([float(self.map_of(name)(np.array([default]))[0]) if limit is None
                         else limit for name, limit in zip(names, own)], np.float64)

    def lowest_scores(self, names: Sequence[str], limits: np.ndarray) -> np.ndarray:
        """Scores (K,) before the map that come to these probabilities (K,)."""
        return np.array([self.map_of(name).inverse(limit) for name, limit in zip(names, limits)],
                        np.float64)

    def applied(self, found: Detections) -> Detections:
        """The same detections with probabilities for scores, best first."""
        scores = self.probabilities(found.scores, found.labels, found.classes)
        order = np.argsort(-scores, kind='stable')
        return replace(found, scores=scores)[order]

    @cached_property
    def json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return dict(by=self.by, method=self.method, thresholds=dict(self.thresholds),
                    shared=self.shared.as_json(),
                    maps={name: one.as_json() for name, one in self.maps.items()},
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
                    raise ValueError(f'its {key} is no {kind.__name__}')
            for name, limit in content['thresholds'].items():
                if isinstance(limit, bool) or not isinstance(limit, (int, float)) \
                        or not 0 <= limit <= 1:
                    raise ValueError(f'the threshold of {name!r} is {limit!r}')
            maps = {name: ScoreMap.from_json(one) for name, one in content['maps'].items()}
            shared = ScoreMap.from_json(content['shared'])
            if content['per_object'] not in ('one', 'all'):
                raise ValueError(f'its per_object is {content["per_object"]!r}')
        except (KeyError, ValueError) as error:
            missing = f'it has no {error}' if isinstance(error, KeyError) else error
            raise ValueError(f'its calibration cannot be used: {missing}') from error
        return cls(**{**{key: content[key] for key in _KINDS}, 'shared': shared, 'maps': maps,
                      'notes': tuple(map(str, content['notes']))})


_KINDS = {'by': str, 'method': str, 'thresholds': Mapping, 'shared': Mapping, 'maps': Mapping,
          'per_object': str, 'numbers': Mapping, 'notes': list}
