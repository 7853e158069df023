"""Continuous functions of straight pieces, whose kinks may be anywhere."""

from __future__ import annotations

from functools import lru_cache
from math import erfc, pi, sqrt
from typing import ClassVar, NamedTuple

import numpy as np

from ntc.ir.calculus import Pieces, pieces
from ntc.ir.expression_text import parse
from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise
from ntc.ir.schema import frozen

FARTHEST = 40.0
"""Standard deviations beyond which nothing happens; a hinge away from zero is there if the variance is zero."""


class Hinge(NamedTuple):
    """weight * max(sign x - distance, 0), distance >= 0."""

    weight: float
    sign: int
    distance: float


class Hinges(Elementwise):
    """phi(x) = slope x + sum over hinges of w_i max(s_i x - t_i, 0), s_i = +-1, t_i >= 0. Of two of them, with
    c = s_i s_j K / sqrt(v1 v2), h = t_i / sqrt(v1), g = t_j / sqrt(v2), d = sqrt(1 - c^2), Z the density of the
    standard Gaussian and Q its upper tail:

    L = P(U > h, V > g),  E[max(U - h, 0) max(V - g, 0)] = (c + h g) L - g Z(h) Q((g - c h) / d)
        - h Z(g) Q((h - c g) / d) + d Z(sqrt(h^2 - 2 c h g + g^2) / d) / sqrt(2 pi)

    at unit variances, times sqrt(v1 v2) in E[phi phi]; times s_i s_j, L is their part of E[phi' phi']. A variance of
    zero counts as correlation one.
    Source: Rosenbaum 1961 (J. R. Stat. Soc. B 23), eq. 2 to 5.
    """

    fills_masked: ClassVar[bool] = False
    formula: ClassVar[str]
    """phi(x), in the language of `activation`."""

    @property
    def jump(self) -> int | None:
        return 1 if self.hinges else None

    @property
    def pieces(self) -> Pieces:
        """Of phi, which is zero at zero."""
        found = pieces(parse(self.formula))
        assert found is not None
        return found

    @property
    def slope(self) -> float:
        """Of the piece at zero, or on its left if there is a kink."""
        return self.pieces.slope + sum(change for place, change in self.pieces.kinks if place < 0)

    @property
    def hinges(self) -> tuple[Hinge, ...]:
        """The kinks. They point away from zero, so that they are small where inputs are."""
        return tuple(Hinge(c, 1, t) if t >= 0 else Hinge(c, -1, -t) for t, c in self.pieces.kinks)

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        norm = np.sqrt(v1 * v2)
        total: Array = (self.slope**2 + self.slope * (self._mean_slope(v1) + self._mean_slope(v2))) * k
        for one in self.hinges:
            for other in self.hinges:
                cosine, h, g = _standard(k, v1, v2, one, other)
                total = total + one.weight * other.weight * norm * _product(h, g, cosine)
        return total

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        total: Array = self.slope**2 + self.slope * (self._mean_slope(v1) + self._mean_slope(v2)) + 0 * k
        for one in self.hinges:
            for other in self.hinges:
                cosine, h, g = _standard(k, v1, v2, one, other)
                weight = one.weight * one.sign * other.weight * other.sign
                total = total + weight * _orthant(h, g, cosine)
        return total

    def _mean_slope(self, v: Array) -> Array:
        """E[phi'] without the straight part."""
        parts = (x.weight * x.sign * _tail(_distance(x.distance, v)) for x in self.hinges)
        return sum(parts, np.zeros_like(v))


@frozen
class Relu6(Hinges):
    """phi(x) = min(max(x, 0), 6).

    E[phi phi] and E[phi' phi'] are those of the hinges max(x, 0) - max(x - 6, 0). Source: Rosenbaum 1961 (J. R. Stat.
    Soc. B 23), eq. 2 to 5; the function: Howard et al. 2017 (arXiv:1704.04861).
    """

    name: ClassVar[str] = "relu6"
    formula: ClassVar[str] = "clip(x, 0, 6)"


@frozen
class HardTanh(Hinges):
    """phi(x) = min(max(x, -1), 1).

    E[phi phi] and E[phi' phi'] are those of x - max(x - 1, 0) + max(-x - 1, 0). Source: Rosenbaum 1961 (J. R. Stat.
    Soc. B 23), eq. 2 to 5; the function: Collobert 2004, Large Scale Machine Learning.
    """

    name: ClassVar[str] = "hard_tanh"
    formula: ClassVar[str] = "clip(x, -1, 1)"

    @property
    def odd(self) -> bool:
        return True


def _distance(t: float, v: Array) -> Array:
    """t in standard deviations."""
    if t == 0:
        return np.zeros_like(v)
    return np.minimum(t / np.sqrt(np.where(v > 0, v, 1e-300)), FARTHEST)


def _standard(k: Array, v1: Array, v2: Array, one: Hinge, other: Hinge) -> tuple[Array, Array, Array]:
    """Correlation and distances of two hinges that are turned upwards."""
    norm = np.sqrt(v1 * v2)
    cosine = np.where(norm > 0, np.clip(k / np.where(norm > 0, norm, 1), -1, 1), 1)
    arrays = one.sign * other.sign * cosine, _distance(one.distance, v1), _distance(other.distance, v2)
    c, h, g = np.broadcast_arrays(*arrays)
    return c, h, g


def _tail(x: Array) -> Array:
    """Q(x)."""
    chance: Array = np.vectorize(lambda y: erfc(y / sqrt(2)) / 2, otypes=[np.float64])(x)
    return chance


def _density(x: Array) -> Array:
    value: Array = np.exp(-(x**2) / 2) / sqrt(2 * pi)
    return value


def _orthant(h: Array, g: Array, cosine: Array) -> Array:
    """L = Q(h) Q(g) + the integral over x from 0 to asin(c) of exp(-(h^2 - 2 h g sin x + g^2) / (2 cos^2 x)) / (2 pi),
    on Gauss-Legendre panels that shrink towards asin(c), as it is steep near a right angle."""
    sine = np.sqrt((1 - cosine) * (1 + cosine))
    angle, short = np.arctan2(np.abs(cosine), sine), np.arctan2(sine, np.abs(cosine))  # of a right angle
    turn = np.where(cosine < 0, -1.0, 1.0)
    total = np.zeros_like(angle)
    for part, weight in zip(*_panels(), strict=True):
        missing = short + angle * part
        squared = np.maximum(np.sin(missing) ** 2, 1e-300)
        power = (h - turn * g) ** 2 / (2 * squared) + turn * h * g / (1 + np.cos(missing))
        total += weight * np.exp(-power)
    return _tail(h) * _tail(g) + turn * angle * total / (2 * pi)


@lru_cache
def _panels() -> tuple[Array, Array]:
    """Nodes and weights on (0, 1) that gather at zero."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    ends = np.array([0.0, *0.25 ** np.arange(24.0, -1.0, -1.0)])
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    return (middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


def _product(h: Array, g: Array, cosine: Array) -> Array:
    """E[max(U - h, 0) max(V - g, 0)] at unit variances."""
    sine = np.sqrt((1 - cosine) * (1 + cosine))
    safe = np.where(sine > 0, sine, 1e-150)
    turn, near = np.sign(cosine), 1 - np.abs(cosine)  # exact where it is small
    first = (g - turn * h + turn * near * h) / safe
    second = (h - turn * g + turn * near * g) / safe
    distance = np.sqrt(h**2 + first**2)
    return (
        (cosine + h * g) * _orthant(h, g, cosine)
        - g * _density(h) * _tail(first)
        - h * _density(g) * _tail(second)
        + sine * _density(distance) / sqrt(2 * pi)
    )
