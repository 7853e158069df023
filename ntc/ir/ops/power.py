"""Powers of the absolute value, on either side of zero."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gamma, pi
from typing import ClassVar

import numpy as np

from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise
from ntc.ir.quadrature import gap, panels


@dataclass(frozen=True)
class PowerLaw(Elementwise):
    """phi(x) = above x^p for x > 0, below |x|^p for x < 0, and p > 0 need not be whole. With e and o half the sum and
    half the difference of above and below, c = K / sqrt(v1 v2), and F the hypergeometric function 2F1,

    E[phi phi]   = (v1 v2)^(p / 2) (e^2 G_p(c) + o^2 H_p(c)),
    E[phi' phi'] = p^2 (v1 v2)^((p - 1) / 2) (e^2 H_(p-1)(c) + o^2 G_(p-1)(c)),
    G_q(c) = 2^q gamma((q + 1) / 2)^2 / pi F(-q / 2, -q / 2; 1 / 2; c^2),
    H_q(c) = 2^(q + 1) gamma(q / 2 + 1)^2 / pi c F((1 - q) / 2, (1 - q) / 2; 3 / 2; c^2).

    For p <= 1 / 2 the second is infinite at correlations of one and minus one. A variance of zero gives zero. The
    reference is the integral over the angle of (u, v), of cosines to these powers.
    Source: the polar form of Cho & Saul 2009, section 2; DLMF 15.6.
    """

    name: ClassVar[str] = "activation"
    below: float
    above: float
    exponent: float

    @property
    def jump(self) -> int | None:
        """A power from minus one half on has no integral of its square, and the slope of E[f f] is that of f'."""
        return 0 if self.exponent <= 0.5 else 1 if self.exponent <= 1.5 else None

    @property
    def halves(self) -> tuple[float, float]:
        """(e, o)."""
        return (self.above + self.below) / 2, (self.above - self.below) / 2

    def function(self, x: Array) -> Array:
        """phi(x)."""
        value: Array = np.where(x > 0, self.above, self.below) * np.abs(x) ** self.exponent
        return value

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        (e, o), p = self.halves, self.exponent
        norm, angle = _norm_and_angle(k, v1, v2)
        return np.where(norm > 0, norm**p * (e**2 * even(p, angle) + o**2 * odd(p, angle)), 0.0)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        (e, o), q = self.halves, self.exponent - 1
        norm, angle = _norm_and_angle(k, v1, v2)
        found = (e**2 * odd(q, angle) if e else 0.0) + (o**2 * even(q, angle) if o else 0.0)
        return np.where(norm > 0, (q + 1) ** 2 * np.where(norm > 0, norm, 1) ** q * found, 0.0)


def _norm_and_angle(k: Array, v1: Array, v2: Array) -> tuple[Array, Array]:
    k, v1, v2 = np.broadcast_arrays(k, v1, v2)
    return np.sqrt(v1 * v2), np.arctan2(np.sqrt(gap(k, v1, v2)), k)


def even(q: float, angle: Array) -> Array:
    """G_q, E[|u|^q |v|^q] at unit variances, by the angle of correlation."""
    value: Array = _radial(q) * (_between(q, pi - angle, angle) + _between(q, angle, pi - angle))
    return value


def odd(q: float, angle: Array) -> Array:
    """H_q, E[sign(u v) |u|^q |v|^q] at unit variances."""
    value: Array = _radial(q) * (_between(q, pi - angle, angle) - _between(q, angle, pi - angle))
    return value


def _radial(q: float) -> float:
    return 2**q * gamma(q + 1) / pi


def _between(q: float, width: Array, rest: Array) -> Array:
    """The integral of (sin(s) sin(width - s))^q over s in (0, width), rest = pi - width: panels towards both ends."""
    total = np.zeros_like(width)
    for part, weight in zip(*_panels(), strict=True):
        s = width * part
        total = total + 2 * weight * (np.sin(s) * np.where(width > rest, np.sin(rest + s), np.sin(width - s))) ** q
    found = np.where(width > 0, total * width, 0.0)
    return np.where((rest == 0) & (2 * q <= -1), np.inf, found)


@lru_cache
def _panels() -> tuple[Array, Array]:
    """Nodes and weights on (0, 1 / 2) that gather at zero."""
    return panels(np.array([0.0, *0.25 ** np.arange(60.0, 0.0, -1.0), 0.5]), 16)
