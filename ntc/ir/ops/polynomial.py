"""Polynomials, and their halves."""

from __future__ import annotations

from abc import abstractmethod
from fractions import Fraction
from functools import lru_cache
from math import factorial, pi, prod, sqrt
from typing import Annotated, ClassVar

import numpy as np
from numpy.polynomial import Polynomial as Coefficients
from pydantic import Field

from ntc.ir.hyper import TunableReal, is_number
from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise
from ntc.ir.schema import frozen

MAX_DEGREE = 30
"""Highest degree of a polynomial: its integral is of the order of (2 n)!."""

Degree = Annotated[int, Field(ge=0, le=MAX_DEGREE)]


class PolynomialFamily(Elementwise):
    """phi(x) = sum over l of v^(l/2) q_l(v) h_l(x / sqrt(v)), h_l the Hermite polynomials of norm one, x of variance v:

    E[phi phi] = sum over l of q_l(v1) q_l(v2) K^l,  E[phi' phi'] = sum over l of l q_l(v1) q_l(v2) K^(l-1).
    Source: Mehler's formula; Daniely et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    elementary: ClassVar[bool] = True

    center: ClassVar[float] = 0.0

    @property
    @abstractmethod
    def factors(self) -> tuple[tuple[float, ...], ...]:
        """q_0, q_1, ...: the coefficients of each as a polynomial of v - center, lowest first."""

    @property
    def odd(self) -> bool:
        return not any(any(factor) for factor in self.factors[::2])

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        terms = (self._factor(level, v1) * self._factor(level, v2) * k**level for level in range(len(self.factors)))
        return sum(terms, np.zeros_like(k + v1 + v2))

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        terms = (
            level * self._factor(level, v1) * self._factor(level, v2) * k ** (level - 1)
            for level in range(1, len(self.factors))
        )
        return sum(terms, np.zeros_like(k + v1 + v2))

    def _factor(self, level: int, v: Array) -> Array:
        value: Array = Coefficients(self.factors[level] or (0.0,))(v - self.center)
        return value


@frozen
class Polynomial(PolynomialFamily):
    """phi(x) = coefficients[0] + coefficients[1] x + coefficients[2] x^2 + ...

    E[phi phi] = sum over l of q_l(v1) q_l(v2) K^l,  E[phi' phi'] = sum over l of l q_l(v1) q_l(v2) K^(l-1),
    q_l(v) = sum over i of coefficients[l + 2 i] (l + 2 i)! / (2^i i! sqrt(l!)) v^i.
    Source: Mehler's formula; Daniely et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    name: ClassVar[str] = "polynomial"
    coefficients: Annotated[tuple[TunableReal, ...], Field(max_length=MAX_DEGREE + 1)]

    @property
    def odd(self) -> bool:
        return all(is_number(c, 0) for c in self.coefficients[::2])

    @property
    def factors(self) -> tuple[tuple[float, ...], ...]:
        return tuple(
            tuple(c * _power_weight(level, i) for i, c in enumerate(self.coefficients[level::2]))
            for level in range(len(self.coefficients))
        )


def _power_weight(level: int, i: int) -> float:
    """The coefficient of h_level in z^(level + 2 i)."""
    return factorial(level + 2 * i) / (float(2**i) * factorial(i) * sqrt(factorial(level)))


@frozen
class Monomial(PolynomialFamily):
    """phi(x) = x^degree.

    E[phi phi] = sum over l of q_l(v1) q_l(v2) K^l,  E[phi' phi'] = sum over l of l q_l(v1) q_l(v2) K^(l-1),
    q_l(v) = degree! / (2^i i! sqrt(l!)) v^i,  l = degree - 2 i.
    Source: Mehler's formula; Daniely et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    name: ClassVar[str] = "monomial"
    degree: Degree

    @property
    def factors(self) -> tuple[tuple[float, ...], ...]:
        return Polynomial((*(0.0,) * self.degree, 1.0)).factors


@frozen
class Hermite(PolynomialFamily):
    """phi(x) = He_n(x) / sqrt(n!), n = degree: the Hermite polynomials of norm one under the standard Gaussian.

    E[phi phi] = sum over l of q_l(v1) q_l(v2) K^l,  E[phi' phi'] = sum over l of l q_l(v1) q_l(v2) K^(l-1),
    q_l(v) = sqrt(n! / l!) / (2^i i!) (v - 1)^i,  l = n - 2 i.  At variance one E[phi phi] = K^n.
    Source: Daniely et al. 2016 (arXiv:1602.05897), section 4.2; other variances by the multiplication theorem (DLMF
    18.18.13).
    """

    name: ClassVar[str] = "hermite"
    center: ClassVar[float] = 1.0
    degree: Degree

    @property
    def factors(self) -> tuple[tuple[float, ...], ...]:
        n = self.degree
        found: list[tuple[float, ...]] = [()] * (n + 1)
        for i in range(n // 2 + 1):
            found[n - 2 * i] = (*(0.0,) * i, sqrt(factorial(n) / factorial(n - 2 * i)) / (2**i * factorial(i)))
        return tuple(found)


class RectifiedPower(Elementwise):
    """phi(x) = x^n for x >= 0, else 0; `RectifiedMonomial` has the integrals. Source: Cho & Saul 2009, eq. 3 and 4."""

    elementary: ClassVar[bool] = True

    degree: int
    """n."""

    @property
    def jump(self) -> int | None:
        return self.degree if self.degree < 2 else None

    @property
    def slopes(self) -> tuple[float, float] | None:
        return (0.0, 1.0) if self.degree == 1 else None

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        n, norm = self.degree, np.sqrt(v1 * v2)
        if n == 0:  # phi(0) = 1
            alone = np.where(np.maximum(v1, v2) > 0, 0.5, 1.0)
            return np.where(norm > 0, half_moment(0, k, norm), alone)
        return norm**n * half_moment(n, k, norm)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        n, norm = self.degree, np.sqrt(v1 * v2)
        if n == 0:
            return np.zeros_like(k + norm)
        return n**2 * norm ** (n - 1) * half_moment(n - 1, k, norm)


@frozen
class RectifiedMonomial(RectifiedPower):
    """phi(x) = x^n for x >= 0, else 0, n = degree.

    E[phi phi] = (v1 v2)^(n/2) J_n(theta) / (2 pi),  E[phi' phi'] = n^2 (v1 v2)^((n-1)/2) J_(n-1)(theta) / (2 pi),
    cos theta = K / sqrt(v1 v2),  J_n the arc-cosine function of order n. Of n = 0, phi' is zero almost everywhere and
    E[phi' phi'] is taken as zero: the NTK is that of the weights above alone.
    Source: Cho & Saul 2009, eq. 3 and 4.
    """

    name: ClassVar[str] = "rectified_monomial"
    degree: Degree


@frozen
class SquaredRelu(RectifiedPower):
    """phi(x) = max(x, 0)^2.

    E[phi phi] = v1 v2 J_2(theta) / (2 pi),  E[phi' phi'] = 4 sqrt(v1 v2) J_1(theta) / (2 pi),  cos theta =
    K / sqrt(v1 v2),  J_n the arc-cosine function of order n.
    Source: Cho & Saul 2009, eq. 3 and 4; the function: So et al. 2021 (arXiv:2109.08668).
    """

    name: ClassVar[str] = "squared_relu"
    degree: ClassVar[int] = 2  # type: ignore[misc]


def half_moment(n: int, k: Array, norm: Array) -> Array:
    """J_n / (2 pi): E[x^n y^n; x, y > 0] at unit variances. A norm of zero counts as correlation one."""
    cosine = np.where(norm > 0, np.clip(k / np.where(norm > 0, norm, 1), -1, 1), 1)
    sine = np.where(norm > 0, np.sqrt(np.maximum((norm - k) * (norm + k), 0)) / np.where(norm > 0, norm, 1), 0)
    quadrant = (pi - np.arctan2(sine, cosine)) / (2 * pi)
    with_quadrant, with_sine = moment_polynomials(n)
    moment: Array = Coefficients(with_quadrant)(cosine) * quadrant + Coefficients(with_sine)(cosine) * sine
    return moment


@lru_cache
def moment_polynomials(n: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Coefficients of A and B, J_n / (2 pi) = A(c) J_0 / (2 pi) + B(c) sqrt(1 - c^2) at a correlation of c.

    A = E[x^n y^n]. As the derivative of M_n = J_n / (2 pi) by c is n^2 M_(n-1) (Price 1958), those of b = 2 pi B obey
    (1 - c^2) b_n' - c b_n = n^2 (1 - c^2) b_(n-1) - A_n, and b_n(0) is that of independent x and y.
    """
    below = [Fraction(0)]
    for order in range(1, n + 1):
        full = _full_moment(order)
        right = [Fraction(0)] * (order + 2)
        for j, value in enumerate(below):
            right[j] += order**2 * value
            right[j + 2] -= order**2 * value
        for j, value in enumerate(full):
            right[j] -= value
        own = [Fraction(prod(range(order - 1, 0, -2)) ** 2 if order % 2 else 0)]
        for j in range(order - 1):
            own.append((right[j] + (j * own[j - 1] if j else 0)) / (j + 1))
        below = own
    return tuple(map(float, _full_moment(n))), tuple(float(value) / (2 * pi) for value in below)


def _full_moment(n: int) -> list[Fraction]:
    """E[x^n y^n] as a polynomial of the correlation: the squares of the factors of a monomial."""
    found = [Fraction(0)] * (n + 1)
    for i in range(n // 2 + 1):
        found[n - 2 * i] = Fraction(factorial(n) ** 2, (2**i * factorial(i)) ** 2 * factorial(n - 2 * i))
    return found
