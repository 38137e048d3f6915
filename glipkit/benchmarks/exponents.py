"""How a quantity grows: the exponent of a power law through measured points, and its picture."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from glipkit.files import write_encoded


@dataclass(frozen=True)
class PowerLaw:
    """``factor * x ** exponent``, fitted by least squares of logarithms.

    Attributes:
        exponent: Slope in a plot with two logarithmic axes: 1 is proportional, 0 is constant.
        factor: Value at x = 1.
        residual: Root of the mean squared difference of logarithms, as a fraction of the value:
            0.05 says that points lie about 5 % above or below the line. 0 for two points.
        last: Slope between the last two points, where what is constant weighs least.
    """
    exponent: float
    factor: float
    residual: float
    last: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Values of the line at ``x``."""
        return self.factor * np.asarray(x, float) ** self.exponent

    def __str__(self) -> str:
        return (f'exponent {self.exponent:.2f} (points {100 * self.residual:.0f} % off the line; '
                f'{self.last:.2f} between the last two)')


def fit(x: Sequence[float], y: Sequence[float]) -> PowerLaw | None:
    """The power law through points.

    Args:
        x: Sizes, ascending and above 0.
        y: What was measured at each.

    Returns:
        None where there is none: fewer than two points, or a value that is not above 0.
    """
    if len(x) < 2 or min(y) <= 0:
        return None
    across, up = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    exponent, height = np.polyfit(across, up, 1)
    off = up - (exponent * across + height)
    residual = np.expm1(np.sqrt(np.mean(off**2))) if len(x) > 2 else 0.
    return PowerLaw(float(exponent), float(np.exp(height)), float(residual),
                    float((up[-1] - up[-2]) / (across[-1] - across[-2])))


@dataclass(frozen=True)
class Curve:
    """What was measured of one candidate at growing sizes.

    Attributes:
        x: Sizes.
        seconds: Median time at each.
        gib: Memory that the work itself took at each.
    """
    x: Sequence[float]
    seconds: Sequence[float]
    gib: Sequence[float]


def plot(curves: Mapping[str, Curve], title: str, unit: str, path: Path) -> None:
    """Time and memory over size with logarithmic axes: points, lines, and their exponents.

    Args:
        curves: Name of a candidate -> its points.
        title: Heading.
        unit: What a size counts.
        path: An svg file.

    Raises:
        UserError: It cannot be written.
    """
    figure = Figure(figsize=(9, 3.8), layout='constrained')
    for axes, label, values in zip(figure.subplots(1, 2), ('seconds', 'GiB above the start'),
                                   ('seconds', 'gib')):
        for i, (name, curve) in enumerate(curves.items()):
            y = getattr(curve, values)
            law = fit(curve.x, y)
            slope = '' if law is None else \
                f', slope {law.exponent:.2f}, points off by {100 * law.residual:.0f} %'
            axes.plot(curve.x, y, 'o', color=f'C{i}', label=f'{name}{slope}')
            if law is not None:
                axes.plot(curve.x, law(curve.x), '-', color=f'C{i}', lw=1)
        axes.set(xscale='log', yscale='log', xlabel=unit, ylabel=label)
        axes.grid(which='both', alpha=.3)
        axes.legend(fontsize=8, loc='lower left', bbox_to_anchor=(0, 1), frameon=False)
    figure.suptitle(title, fontsize=10)
    # Without a date and random ids the same numbers are the same file; text stays text.
    with matplotlib.rc_context({'svg.hashsalt': 'glipkit', 'svg.fonttype': 'none'}):
        write_encoded(path, lambda file: figure.savefig(
            file, format='svg', metadata={'Date': None}))
