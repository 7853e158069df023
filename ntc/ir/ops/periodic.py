"""Sinusoids, and functions made of one and a Gaussian."""

from __future__ import annotations

from abc import abstractmethod
from math import pi, sin
from typing import ClassVar

import numpy as np

from ntc.ir.hyper import Tunable, TunableReal
from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise
from ntc.ir.schema import frozen


class Sinusoid(Elementwise):
    """phi(x) = a sin(b x + c), or cos in place of sin:

    E[phi phi]   = a^2 (sine + w e),  E[phi' phi'] = a^2 b^2 (sine + (1 - w) e),
    sine = exp(-b^2 (v1 + v2) / 2) sinh(b^2 K),  e = exp(-b^2 (v1 + v2 + 2 K) / 2),  w = phi(0)^2 / a^2.
    Source: the real part of the characteristic function of u - v and of u + v; Rahimi & Recht 2007, section 3.
    """

    elementary: ClassVar[bool] = True

    a: TunableReal
    b: TunableReal
    c: TunableReal

    @property
    @abstractmethod
    def phase(self) -> float:
        """Of the sine."""

    @property
    def weight(self) -> float:
        """w: sin^2 of the phase."""
        return sin(self.phase) ** 2

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        return self.a**2 * self._mixed(k, v1, v2, self.weight)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return (self.a * self.b) ** 2 * self._mixed(k, v1, v2, 1 - self.weight)

    def _mixed(self, k: Array, v1: Array, v2: Array, weight: float) -> Array:
        square = self.b**2
        return odd_wave(square * k, square * v1, square * v2) + weight * np.exp(-square * (v1 + v2 + 2 * k) / 2)


def odd_wave(k: Array, v1: Array, v2: Array) -> Array:
    """E[sin(u) sin(v)] = exp(-(v1 + v2) / 2) sinh(k), without overflow or cancellation."""
    size = np.abs(k)
    wave: Array = -np.sign(k) * np.exp(size - (v1 + v2) / 2) * np.expm1(-2 * size) / 2
    return wave


@frozen
class Sin(Sinusoid):
    """phi(x) = a sin(b x + c).

    E[phi phi]   = a^2 (exp(-b^2 (v1 + v2) / 2) sinh(b^2 K) + sin(c)^2 exp(-b^2 (v1 + v2 + 2 K) / 2)),
    E[phi' phi'] = a^2 b^2 (the same with cos(c)^2).
    Source: the characteristic function of a Gaussian; Rahimi & Recht 2007, section 3.
    """

    name: ClassVar[str] = "sin"
    a: TunableReal = 1.0
    b: TunableReal = 1.0
    c: TunableReal = 0.0

    @property
    def odd(self) -> bool:
        return self.c == 0

    @property
    def phase(self) -> float:
        return self.c


@frozen
class Cos(Sinusoid):
    """phi(x) = a cos(b x + c).

    E[phi phi]   = a^2 (exp(-b^2 (v1 + v2) / 2) sinh(b^2 K) + cos(c)^2 exp(-b^2 (v1 + v2 + 2 K) / 2)),
    E[phi' phi'] = a^2 b^2 (the same with sin(c)^2).
    Source: the characteristic function of a Gaussian; Rahimi & Recht 2007, section 3.
    """

    name: ClassVar[str] = "cos"
    a: TunableReal = 1.0
    b: TunableReal = 1.0
    c: TunableReal = 0.0

    @property
    def phase(self) -> float:
        return self.c + pi / 2


@frozen
class Rbf(Elementwise):
    """phi(x) = sqrt(2) sin(sqrt(2 gamma) x + pi / 4): the radial basis function kernel of the pre-activations.

    E[phi phi] = exp(-gamma (v1 + v2 - 2 K)),  E[phi' phi'] = 2 gamma E[phi phi].
    Source: Rahimi & Recht 2007, section 3; the same layer as in Novak et al. 2020 (arXiv:1912.02803).
    """

    elementary: ClassVar[bool] = True

    name: ClassVar[str] = "rbf"
    gamma: Tunable = 1.0

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        return np.exp(-self.gamma * np.maximum(v1 + v2 - 2 * k, 0.0))

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return 2 * self.gamma * self.dual(k, v1, v2)


@frozen
class Gabor(Elementwise):
    """phi(x) = exp(-x^2) sin(x).

    With d = 1 + 2 (v1 + v2) + 4 (v1 v2 - K^2) and the Gaussian of variances (v + 2 (v1 v2 - K^2)) / d and covariance
    K / d, of which s = E[sin sin] and c = E[cos cos],

    E[phi phi]   = s / sqrt(d),
    E[phi' phi'] = (p c + q s) / d^(5/2),  p = 1 + 2 (v1 + v2) + 4 (v1 v2 + K^2),
                                           q = 4 K (2 + 3 (v1 + v2) + 4 (v1 v2 - K^2)).
    Source: the product of two Gaussians is one; the second is the derivative by K (Price 1958).
    """

    name: ClassVar[str] = "gabor"

    @property
    def odd(self) -> bool:
        return True

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        gap = np.maximum(v1 * v2 - k**2, 0.0)
        d = 1 + 2 * (v1 + v2) + 4 * gap
        wave: Array = odd_wave(k / d, (v1 + 2 * gap) / d, (v2 + 2 * gap) / d) / np.sqrt(d)
        return wave

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        gap = np.maximum(v1 * v2 - k**2, 0.0)
        total = v1 + v2
        d = 1 + 2 * total + 4 * gap
        sines = odd_wave(k / d, (v1 + 2 * gap) / d, (v2 + 2 * gap) / d)
        cosines = sines + np.exp(-(total + 4 * gap + 2 * k) / (2 * d))
        p, q = 1 + 2 * total + 4 * (v1 * v2 + k**2), 4 * k * (2 + 3 * total + 4 * gap)
        slope: Array = (p * cosines + q * sines) / d**2.5
        return slope
