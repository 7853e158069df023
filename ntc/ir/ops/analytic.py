"""Functions without a closed form whose integrals are series in the correlation."""

from __future__ import annotations

from typing import ClassVar

from ntc.ir.calculus import derivative
from ntc.ir.expression import Expression, X, apply
from ntc.ir.expression_text import parse
from ntc.ir.hermite import series
from ntc.ir.numpy_functions import on_arrays
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

    formula: ClassVar[str]
    """phi(x), in the language of `activation`."""

    parity: ClassVar[int | None] = None
    """0 if above l = 1 only even l occur, 1 if only odd ones; None if all."""

    checked: ClassVar[bool] = False
    """Whether nothing is known of phi, so that the nodes of the quadrature must be shown to resolve it."""

    @property
    def bend(self) -> float:
        """The length on which phi bends near zero, which quadrature follows."""
        return BEND

    @property
    def body(self) -> Expression:
        """phi(x) as a tree."""
        return parse(self.formula)

    @property
    def by_slope(self) -> Elementwise | None:
        from ntc.ir.ops.custom import of_formula  # which is made of this

        return of_formula(apply("*", X, derivative(self.body)))

    def function(self, x: Array) -> Array:
        """phi(x)."""
        return on_arrays(self.body, x)

    def slope(self, x: Array) -> Array:
        """phi'(x)."""
        return on_arrays(derivative(self.body), x)

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
    formula: ClassVar[str] = "tanh(x)"
    parity: ClassVar[int | None] = 1

    @property
    def odd(self) -> bool:
        return True


@frozen
class Sigmoid(Analytic):
    """phi(x) = 1 / (1 + exp(-x)).

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    name: ClassVar[str] = "sigmoid"
    formula: ClassVar[str] = "sigmoid(x)"
    parity: ClassVar[int | None] = 1


@frozen
class Swish(Analytic):
    """phi(x) = x / (1 + exp(-x)), also called SiLU.

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2; the function: Ramachandran et al. 2017 (arXiv:1710.05941).
    """

    name: ClassVar[str] = "swish"
    formula: ClassVar[str] = "x * sigmoid(x)"
    parity: ClassVar[int | None] = 0


@frozen
class Softplus(Analytic):
    """phi(x) = log(1 + exp(x)).

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2.
    """

    name: ClassVar[str] = "softplus"
    formula: ClassVar[str] = "softplus(x)"
    parity: ClassVar[int | None] = 0


@frozen
class Mish(Analytic):
    """phi(x) = x tanh(log(1 + exp(x))).

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2; the function: Misra 2019 (arXiv:1908.08681).
    """

    name: ClassVar[str] = "mish"
    formula: ClassVar[str] = "x * tanh(softplus(x))"


@frozen
class GeluTanh(Analytic):
    """phi(x) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, the usual approximation of gelu.

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi'. Source: Mehler's formula; Daniely
    et al. 2016 (arXiv:1602.05897), section 4.2; the function: Hendrycks & Gimpel 2016 (arXiv:1606.08415).
    """

    name: ClassVar[str] = "gelu_tanh"
    formula: ClassVar[str] = "x * sigmoid(sqrt(8 / 3.141592653589793) * (x + 0.044715 * x**3))"
    parity: ClassVar[int | None] = 0
