"""Numbers that units wrote, gathered over seeds."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def over_seeds(results: Mapping[str, Any], seeds: Sequence[int], unit: str,
               keys: Sequence[str]) -> np.ndarray:
    """The values (seeds,) at one place of a unit's results.

    Args:
        results: 'unit-seed' -> what it wrote.
        seeds: Seeds, in the order of the values.
        unit: Name of the unit.
        keys: The place, key after key.
    """
    found = []
    for seed in seeds:
        value: Any = results[f'{unit}-{seed}']
        for key in keys:
            value = value[key]
        found.append(value)
    return np.array(found, float)
