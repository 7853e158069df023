"""Exponential functions, and those made of the Gaussian integral."""

from __future__ import annotations

from math import inf, pi, sqrt
from typing import ClassVar

import numpy as np

from ntc.ir.expression_text import parse
from ntc.ir.hyper import Tunable, TunableReal
from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise, ErrorFunction
from ntc.ir.schema import frozen


@frozen
class Exp(Elementwise):
    """phi(x) = a exp(b x).

    E[phi phi] = a^2 exp(b^2 (v1 + v2 + 2 K) / 2),  E[phi' phi'] = b^2 E[phi phi].
    Source: the mean of a log-normal variable; Mairal et al. 2014 (arXiv:1406.3332), equation 3.
    """

    elementary: ClassVar[bool] = True

    name: ClassVar[str] = "exp"
    a: TunableReal = 1.0
    b: TunableReal = 1.0

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        growth: Array = self.a**2 * np.exp(self.b**2 * (v1 + v2 + 2 * k) / 2)
        return growth

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return self.b**2 * self.dual(k, v1, v2)


@frozen
class ExpNormalized(Elementwise):
    """phi(x) = s exp(sqrt(gamma) x / s + gamma (shift - 1) / 2), s^2 the mean of x^2 over channels.

    E[phi phi] = sqrt(v1 v2) exp(gamma (K / sqrt(v1 v2) + shift)),  E[phi' phi'] = gamma exp(the same).
    Any variance: s is that of the example at the position, and of zero variance phi is zero, and the correlation in
    E[phi' phi'] one. The derivative of s by the weights is of order 1 / width, and is no part of the NTK.
    Source: Shankar et al. 2020 (arXiv:2003.02237), page 6 (the normalized Gaussian kernel); phi from the generating
    function of the Hermite polynomials.
    """

    elementary: ClassVar[bool] = True

    name: ClassVar[str] = "exp_normalized"
    gamma: Tunable = 1.0
    shift: TunableReal = -1.0

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        return np.sqrt(v1 * v2) * self._exponential(k, v1, v2)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return self.gamma * self._exponential(k, v1, v2)

    def _exponential(self, k: Array, v1: Array, v2: Array) -> Array:
        norm = np.sqrt(v1 * v2)
        cosine = np.where(norm > 0, np.clip(k / np.where(norm > 0, norm, 1), -1, 1), 1)
        return np.exp(self.gamma * (cosine + self.shift))


@frozen
class Gaussian(Elementwise):
    """phi(x) = a exp(b x^2).

    E[phi phi] = a^2 / sqrt(d),  E[phi' phi'] = 4 a^2 b^2 K / d^(3/2),  d = 1 - 2 b (v1 + v2) + 4 b^2 (v1 v2 - K^2).
    Of b > 0 the integrals are infinite, here NaN, unless d > 0, 2 b v1 < 1 and 2 b v2 < 1; of an example with itself,
    at variances of 1 / (4 b) and more.
    Source: Williams 1997, equation 13 (Gaussian hidden units about zero).
    """

    elementary: ClassVar[bool] = True

    name: ClassVar[str] = "gaussian"
    a: TunableReal = 1.0
    b: TunableReal = -1.0

    @property
    def largest_variance(self) -> float:
        return 1 / (4 * self.b) if self.b > 0 else inf

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        height: Array = self.a**2 / np.sqrt(self._determinant(k, v1, v2))
        return height

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        slope: Array = 4 * (self.a * self.b) ** 2 * k / self._determinant(k, v1, v2) ** 1.5
        return slope

    def _determinant(self, k: Array, v1: Array, v2: Array) -> Array:
        found = 1 - 2 * self.b * (v1 + v2) + 4 * self.b**2 * np.maximum(v1 * v2 - k**2, 0.0)
        exists = (found > 0) & (2 * self.b * np.maximum(v1, v2) < 1)
        return np.where(exists, found, np.nan)


@frozen
class Gelu(Elementwise):
    """phi(x) = x P(z < x), z standard normal: x (1 + erf(x / sqrt(2))) / 2.

    With P = (1 + v1) (1 + v2), d = sqrt(P - K^2) and t = atan(K / d),

    E[phi phi]   = K / 4 + (K t + (K^2 + v1 v2 d^2) / (P d)) / (2 pi)
    E[phi' phi'] = 1/4 + (t + (1 / d^2 + (1 - v1 v2) / P + 1) K / d) / (2 pi)
    Source: Tsuchida et al. 2021 (arXiv:2002.08517), proposition 4; the second is the derivative by K (Price 1958).
    """

    elementary: ClassVar[bool] = True

    name: ClassVar[str] = "gelu"

    @property
    def by_slope(self) -> Elementwise | None:
        from ntc.ir.ops.custom import of_formula  # which is made of this

        return of_formula(parse(f"x * (1 + erf(x / {sqrt(2)})) / 2 + x ** 2 * exp(-x ** 2 / 2) / {sqrt(2 * pi)}"))

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        both = (1 + v1) * (1 + v2)
        d = np.sqrt(1 + v1 + v2 + np.maximum(v1 * v2 - k**2, 0.0))
        rest = (k**2 + v1 * v2 * d**2) / (both * d)
        product: Array = k / 4 + (k * np.arctan(k / d) + rest) / (2 * pi)
        return product

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        both = (1 + v1) * (1 + v2)
        d = np.sqrt(1 + v1 + v2 + np.maximum(v1 * v2 - k**2, 0.0))
        rest = (1 / d**2 + (1 - v1 * v2) / both + 1) * k / d
        slope: Array = 1 / 4 + (np.arctan(k / d) + rest) / (2 * pi)
        return slope


@frozen
class SigmoidLike(ErrorFunction):
    """phi(x) = (1 + erf(x / 2.4020563531719796)) / 2, the error function closest to the sigmoid on [-5, 5].

    E[phi phi] and E[phi' phi'] are those of erf(1 / 2, 1 / 2.4020563531719796, 1 / 2). Source: Williams 1997, eq. 11;
    the constant is that of Novak et al. 2020 (arXiv:1912.02803).
    """

    name: ClassVar[str] = "sigmoid_like"
    a: ClassVar[float] = 0.5  # type: ignore[misc]
    b: ClassVar[float] = 1 / 2.4020563531719796  # type: ignore[misc]
    c: ClassVar[float] = 0.5  # type: ignore[misc]
