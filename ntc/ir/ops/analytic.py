"""Functions without a closed form whose integrals are series in the correlation."""

from __future__ import annotations

from abc import abstractmethod
from math import pi, sqrt
from typing import ClassVar

import numpy as np

from ntc.ir.hermite import series
from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise
from ntc.ir.quadrature import BEND
from ntc.ir.schema import frozen


class Analytic(Elementwise):
    """phi(x) = sum over l of a_l(v) h_l(x / sqrt(v)), h_l the Hermite polynomials of norm one, x of variance v:

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l,  c = K / sqrt(v1 v2),  a_l(v) = E[phi(sqrt(v) z) h_l(z)],
    E[phi' phi'] likewise with the coefficients of phi'. A variance of zero counts as correlation one.
    The series ends; where what is left out may exceed a bound, the result is NaN (docs/activations.md has the bounds).
    Source: Mehler's formula; Daniely et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    parity: ClassVar[int | None] = None
    """0 if above l = 1 only even l occur, 1 if only odd ones; None if all."""

    checked: ClassVar[bool] = False
    """Whether nothing is known of phi, so that the nodes of the quadrature must be shown to resolve it."""

    @property
    def bend(self) -> float:
        """The length on which phi bends near zero, which quadrature follows."""
        return BEND

    @abstractmethod
    def function(self, x: Array) -> Array:
        """phi(x)."""

    @abstractmethod
    def slope(self, x: Array) -> Array:
        """phi'(x)."""

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        return series(self.function, k, v1, v2, self.checked, self.bend)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return series(self.slope, k, v1, v2, self.checked, self.bend)


@frozen
class Tanh(Analytic):
    """phi(x) = tanh(x).

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    name: ClassVar[str] = "tanh"
    parity: ClassVar[int | None] = 1

    @property
    def odd(self) -> bool:
        return True

    def function(self, x: Array) -> Array:
        return np.tanh(x)

    def slope(self, x: Array) -> Array:
        return 4 * sigmoid(2 * x) * sigmoid(-2 * x)


@frozen
class Sigmoid(Analytic):
    """phi(x) = 1 / (1 + exp(-x)).

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    name: ClassVar[str] = "sigmoid"
    parity: ClassVar[int | None] = 1

    def function(self, x: Array) -> Array:
        return sigmoid(x)

    def slope(self, x: Array) -> Array:
        return sigmoid(x) * sigmoid(-x)


@frozen
class Swish(Analytic):
    """phi(x) = x / (1 + exp(-x)), also called SiLU.

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2; the function: Ramachandran et al. 2017 (arXiv:1710.05941).
    """

    name: ClassVar[str] = "swish"
    parity: ClassVar[int | None] = 0

    def function(self, x: Array) -> Array:
        return x * sigmoid(x)

    def slope(self, x: Array) -> Array:
        return sigmoid(x) * (1 + x * sigmoid(-x))


@frozen
class Softplus(Analytic):
    """phi(x) = log(1 + exp(x)).

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    name: ClassVar[str] = "softplus"
    parity: ClassVar[int | None] = 0

    def function(self, x: Array) -> Array:
        return np.logaddexp(x, 0)

    def slope(self, x: Array) -> Array:
        return sigmoid(x)


@frozen
class Mish(Analytic):
    """phi(x) = x tanh(log(1 + exp(x))).

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2; the function: Misra 2019 (arXiv:1908.08681).
    """

    name: ClassVar[str] = "mish"

    def function(self, x: Array) -> Array:
        return x * np.tanh(np.logaddexp(x, 0))

    def slope(self, x: Array) -> Array:
        gate: Array = np.tanh(np.logaddexp(x, 0))
        return gate + x * (1 - gate**2) * sigmoid(x)


@frozen
class GeluTanh(Analytic):
    """phi(x) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, the usual approximation of gelu.

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2; the function: Hendrycks & Gimpel 2016 (arXiv:1606.08415).
    """

    name: ClassVar[str] = "gelu_tanh"
    parity: ClassVar[int | None] = 0

    def function(self, x: Array) -> Array:
        return x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 * x**3))

    def slope(self, x: Array) -> Array:
        gate = 2 * sqrt(2 / pi) * (x + 0.044715 * x**3)
        inner = 2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * x**2)
        return sigmoid(gate) * (1 + x * inner * sigmoid(-gate))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    value: Array = np.exp(-np.logaddexp(-x, 0))
    return value
