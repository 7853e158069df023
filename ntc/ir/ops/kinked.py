"""Functions of analytic pieces that are neither straight nor of another family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ntc.ir import kinked_quadrature
from ntc.ir.calculus import polynomial
from ntc.ir.expression import Expression
from ntc.ir.expression_text import parse
from ntc.ir.kinks import kinks, slope
from ntc.ir.numpy_functions import on_arrays
from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise
from ntc.ir.piecewise import Piecewise, piecewise
from ntc.ir.schema import frozen


class Kinked(Elementwise):
    """phi of a formula on each of a few pieces. With phi = rest + sum over places b of P_b(y) w_b(y), y = s x - |b| > 0
    (`ntc.ir.kinks`), a sum of terms p with coefficients p_l(v) = E[p(sqrt(v) z) h_l(z)], h_l the Hermite polynomials:

    E[phi phi] = E[p p] + sum over l of (r_l(v1) r_l(v2) + r_l(v1) p_l(v2) + p_l(v1) r_l(v2)) c^l

    where p is all terms and r the rest; of two terms it is a Gaussian integral over a quadrant with other variances
    (`ntc.backends.jax.integrals.quadrant`). E[phi' phi'] is that of the derivative of the pieces: where phi jumps,
    phi' counts as zero. A variance of zero counts as correlation one. The reference is quadrature.
    Source: Mehler's formula; Rosenbaum 1961 (J. R. Stat. Soc. B 23) for moments over quadrants.
    """

    formula: ClassVar[str]
    """phi(x), in the language of `activation`."""

    @property
    def body(self) -> Expression:
        """phi(x) as a tree."""
        return parse(self.formula)

    @property
    def form(self) -> Piecewise:
        """The pieces."""
        return piecewise(self.body)

    @property
    def at_zero(self) -> float:
        """phi(0)."""
        return float(on_arrays(self.body, np.zeros(1))[0])

    def values(self, x: Array) -> Array:
        """phi(x)."""
        return np.where(x == 0, self.at_zero, self.form(x))

    @property
    def jump(self) -> int | None:
        """As a formula is smooth between places, and flat ones are smooth there as well."""
        orders = [[n for n, c in enumerate(term.coefficients) if c] for term in kinks(self.form).terms]
        least = min((order for found in orders for order in found), default=2)
        return least if least < 2 else None

    def derivative(self, x: Array) -> Array:
        """phi'(x); at zero the mean of both sides."""
        return np.where(x == 0, self.slope_at_zero, slope(self.form)(x))

    @property
    def slope_at_zero(self) -> float:
        """The mean of phi' on both sides of zero."""
        form, zero = slope(self.form), np.zeros(1)
        number = int(np.searchsorted(form.places, 0.0))
        sides = form.branches[number], form.branches[number + (0.0 in form.places)]
        return sum(float(on_arrays(side, zero)[0]) for side in sides) / 2

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        return kinked_quadrature.integral(self.values, self.form.places, k, v1, v2, _polynomials(self.form))

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        form = slope(self.form)
        return kinked_quadrature.integral(self.derivative, form.places, k, v1, v2, _polynomials(form))


def _polynomials(form: Piecewise) -> kinked_quadrature.Polynomials | None:
    """Coefficients of all pieces, if all are polynomials."""
    found = [polynomial(branch) for branch in form.branches]
    known = tuple(x for x in found if x is not None)
    return known if len(known) == len(found) else None


@dataclass(frozen=True)
class Pieced(Kinked):
    """An expression of several pieces; see `Kinked`."""

    name: ClassVar[str] = "activation"
    expression: Expression

    @property
    def body(self) -> Expression:
        return self.expression


@frozen
class HardSwish(Kinked):
    """phi(x) = x min(max(x + 3, 0), 6) / 6.

    E[phi phi] and E[phi' phi'] are those of its kinks at -3 and 3, where the slope jumps, and a series of the rest: see
    `Kinked`. Source: Rosenbaum 1961 (J. R. Stat. Soc. B 23) for moments over quadrants, Mehler's formula; the function:
    Howard et al. 2019 (arXiv:1905.02244).
    """

    name: ClassVar[str] = "hard_swish"
    formula: ClassVar[str] = "x * clip(x + 3, 0, 6) / 6"
