"""Maps from scores of a detector to probabilities; numpy alone, as exported models have them."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Most points of a map that is read from a file.
MOST_POINTS = 10_000
#: Scores are kept so far from 0 and 1 where their odds are taken.
EDGE = 1e-7


@dataclass(frozen=True)
class ScoreMap:
    """A rising function of scores, from 0 to 1 both: first the temperature, then the points.

    A temperature T makes sigmoid(logit(score) / T) of a score (Guo et al. 2017, section 4.2).
    Between points the map is straight. As it rises everywhere, the order of the detections of a
    class, and so its AP, stays as it was.

    Args:
        temperature: Above 0; 1 changes nothing.
        points: (score, probability) pairs, both rising; the first score is 0, the last 1.

    Raises:
        ValueError: Numbers that are no such map.
    """

    temperature: float = 1.
    points: tuple[tuple[float, float], ...] = ((0., 0.), (1., 1.))

    def __post_init__(self) -> None:
        if not (is_finite(self.temperature) and self.temperature > 0):
            raise ValueError(f'a temperature of {self.temperature!r}')
        if not 2 <= len(self.points) <= MOST_POINTS:
            raise ValueError(f'a score map of {len(self.points)} points')
        if not all(len(point) == 2 and all(map(is_finite, point)) for point in self.points):
            raise ValueError('a score map with a point that is no pair of numbers')
        xs, ys = np.array(self.points, np.float64).T
        if xs[0] != 0 or xs[-1] != 1 or ys[0] < 0 or ys[-1] > 1 or (np.diff(xs) <= 0).any() \
                or (np.diff(ys) <= 0).any():
            raise ValueError('a score map that does not rise from score 0 to score 1')

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (N,) float64 of scores (N,)."""
        xs, ys = np.array(self.points, np.float64).T
        return np.interp(_heated(np.asarray(scores, np.float64), self.temperature), xs, ys)

    def inverse(self, probabilities: np.ndarray) -> np.ndarray:
        """The scores (N,) float64 whose probabilities these are; 0 and 1 beyond the ends."""
        xs, ys = np.array(self.points, np.float64).T
        return _heated(np.interp(np.asarray(probabilities, np.float64), ys, xs),
                       1 / self.temperature)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return dict(temperature=self.temperature, points=[list(point) for point in self.points])

    @classmethod
    def from_json(cls, content: Any) -> ScoreMap:
        """Reads a map.

        Raises:
            ValueError: It is none.
        """
        if not isinstance(content, Mapping) or not isinstance(content.get('points'), Sequence) \
                or not all(isinstance(point, Sequence) for point in content['points']):
            raise ValueError('a score map without points')
        return cls(content.get('temperature', 1.), tuple(map(tuple, content['points'])))


def log_odds(scores: np.ndarray) -> np.ndarray:
    """log(s / (1 - s)) of scores (N,), finite at 0 and 1 as well."""
    inside = np.clip(np.asarray(scores, np.float64), EDGE, 1 - EDGE)
    return np.log(inside) - np.log1p(-inside)


def shifted(probabilities: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Probabilities (N,) with shifts (N,) added to their log odds; a shift of 0 changes nothing."""
    probabilities = np.asarray(probabilities, np.float64)
    if not np.any(shifts):
        return probabilities
    return np.where(shifts == 0, probabilities, 1 / (1 + np.exp(-log_odds(probabilities) - shifts)))


def _heated(scores: np.ndarray, temperature: float) -> np.ndarray:
    if temperature == 1:
        return scores
    return 1 / (1 + np.exp(-log_odds(scores) / temperature))


def is_finite(value: Any) -> bool:
    """Whether a value from a file is a number that can be counted with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
