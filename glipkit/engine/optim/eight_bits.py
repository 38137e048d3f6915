"""The two moments of Adam in one byte each, in blocks (Dettmers et al., ICLR 2022, section 2).

The root of the second moment is kept beside the largest of its block, as a number of 4 bits of
exponent and 4 of mantissa: the largest is 65,000 times the smallest. The first moment is kept as
the step that it stands for, first / (root / correction + eps), whose codes are squared, so that
they are finer towards zero. Rounding goes up or down at random, by how near the two are: a moment
that changes by a thousandth in a step, less than any of its codes, follows nevertheless.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Elements that share a scale.
BLOCK = 256
#: Elements that are worked on at once: they stay in a processor's cache.
PIECE = 1 << 19
#: Codes of the first moment on either side of zero.
LEVELS = 127

_SHIFT = 19  # bits of a float32's mantissa that the root leaves out
_BASE = (127 << 23 - _SHIFT) - 255  # code 255 is a one
_FRACTION = (1 << _SHIFT) - 1
_MAGIC = 1.5 * 2**23  # what is added to it is rounded to the lowest bits of the sum
_TINY = 1e-30  # beside which codes are nothing
_LEAST_SCALE = 1e-14  # no root is zero, nor is its square


@dataclass(frozen=True)
class Moments:
    """Both moments of one tensor of N elements.

    Attributes:
        first: int8 (N,), codes of the steps.
        second: uint8 (N,), codes of the roots.
        scales: float32 (N / BLOCK, rounded up): the largest root of each block.
    """
    first: Tensor
    second: Tensor
    scales: Tensor

    def part(self, begin: int, end: int) -> Moments:
        """Elements from ``begin``, a multiple of BLOCK, to ``end``."""
        return Moments(self.first[begin:end], self.second[begin:end],
                       self.scales[begin // BLOCK:blocks_of(end)])


def blocks_of(count: int) -> int:
    """Number of blocks of so many elements."""
    return -(-count // BLOCK)


def largest_step(betas: tuple[float, float]) -> float:
    """Bound of the first moment beside the root of the second, by Cauchy and Schwarz.

    With decays b1 and b2 it is (1 - b1) / sqrt((1 - b2) (1 - b1^2 / b2)): 7.3 for 0.9 and 0.999.
    """
    first, second = betas
    rest = (1 - second) * (1 - first**2 / second) if second else 0.
    return min((1 - first) / math.sqrt(rest), 16.) if rest > 0 else 16.


class Coder:
    """Reads and writes moments, piece by piece.

    Args:
        device: Where the moments are.
    """

    def __init__(self, device: torch.device) -> None:
        self._bits = torch.empty(PIECE, dtype=torch.int32, device=device)
        self._codes = torch.empty_like(self._bits)
        self._first, self._spare = (torch.empty(PIECE, device=device) for _ in range(2))
        # On the host, where a number waits for no device; it is added as one.
        self._base = torch.tensor(_BASE << _SHIFT, dtype=torch.int32)
        # The same numbers on every device and in every process: replicas have to agree.
        chances = torch.rand(2 * PIECE, generator=torch.Generator().manual_seed(0))
        self._up = (chances * _FRACTION).int().sub_(_BASE << _SHIFT).to(device)
        self._half_up = chances.sub_(0.5).to(device)

    def read(self, moments: Moments, unit: float, least: float) -> tuple[Tensor, Tensor]:
        """First moment and root of the second, float32 (N,): valid up to the next piece.

        Args:
            moments: Of a piece.
            unit, least: A code c of the first moment is ``c |c| (unit root + least)``.
        """
        count, width = len(moments.first), len(moments.scales) * BLOCK
        bits, first, spare = self._bits[:width], self._first[:width], self._spare[:width]
        bits[:count].copy_(moments.second)
        torch.add(self._base, bits, alpha=1 << _SHIFT, out=bits)
        root = bits.view(torch.float32)
        _blocks(root).mul_(moments.scales.clamp(min=_LEAST_SCALE)[:, None])
        first[:count].copy_(moments.first)
        torch.abs(first, out=spare)
        first.mul_(spare)
        first.mul_(torch.add(torch.tensor(least), root, alpha=unit, out=spare))
        return first[:count], root[:count]

    def add_squares(self, grad: Tensor, decay: float, root: Tensor) -> Tensor:
        """Roots of the second moments behind a step, in place of those before it.

        Args:
            grad: Gradient (N,).
            decay: Of the second moment.
            root: From :meth:`read`.
        """
        second = root.mul_(root).mul_(decay).addcmul_(grad, grad, value=1 - decay)
        # x / sqrt(x): the power is faster than the root.
        return second.mul_(torch.pow(second, -0.5, out=self._spare[:len(root)]))

    def write(self, moments: Moments, unit: float, least: float, seed: int) -> Tensor:
        """Writes the tensors that :meth:`read` gave, as the caller has changed them, where they
        came from.

        Args:
            moments: Those that were read; changed in place.
            unit, least: As for `read`, of the step now.
            seed: Which chances the rounding takes.

        Returns:
            first / (unit root + least), not rounded (N,): valid up to the next piece.
        """
        count, width = len(moments.first), len(moments.scales) * BLOCK
        root, first, spare = (x[:width] for x in (self._bits, self._first, self._spare))
        root = root.view(torch.float32)
        root[count:] = 0  # what a piece before this one has left there
        first.div_(torch.add(torch.tensor(least), root, alpha=unit, out=spare))
        self._write_roots(moments, root, seed * 7919 % PIECE)
        # Its root with its sign, as x / sqrt|x|.
        torch.abs(first, out=spare).add_(_TINY).pow_(-0.5).mul_(first)
        begin = (seed * 104729 + PIECE // 2) % PIECE
        spare.clamp_(-LEVELS, LEVELS).add_(self._half_up[begin:begin + width]).add_(_MAGIC)
        moments.first.copy_(spare.view(torch.int32)[:count])
        return first[:count]

    def _write_roots(self, moments: Moments, root: Tensor, begin: int) -> None:
        torch.amax(_blocks(root), 1, out=moments.scales)
        _blocks(root).mul_(moments.scales.clamp(min=_LEAST_SCALE).reciprocal_()[:, None])
        bits = root.view(torch.int32)
        bits.add_(self._up[begin:begin + len(bits)]).clamp_(min=0)
        codes = torch.bitwise_right_shift(bits, _SHIFT, out=self._codes[:len(bits)])
        moments.second.copy_(codes[:len(moments.second)])


def _blocks(values: Tensor) -> Tensor:
    return values.view(-1, BLOCK)
