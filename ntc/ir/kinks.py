"""What makes a function of pieces out of a smooth one: at every place, by how much its derivatives jump.

With t = |b| and y = s x - t, s the sign that points away from zero, a function with kinks or jumps at places b is

    f(x) = rest(x) + sum over places of P_b(y) w_b(y) for y > 0,

where P_b is a polynomial whose derivatives at y = 0 are the jumps, and w_b(y) = exp(-y^2 / (2 tau^2))
keeps it from growing. So the rest has as many continuous derivatives as P_b has powers, and the terms are ones whose
Gaussian integrals are known. If all pieces are polynomials, w = 1, P_b is of their degree, and the rest is the
polynomial of the piece at zero.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial, inf
from typing import NamedTuple

import numpy as np

from ntc.errors import UnsupportedError
from ntc.ir.calculus import derivative, polynomial
from ntc.ir.expression import Expression, show
from ntc.ir.numpy_functions import on_arrays
from ntc.ir.op import Array
from ntc.ir.piecewise import Piecewise

WIDTHS = tuple(2.0**-n for n in range(-1, 7))
"""Candidates for tau: the largest is taken that adds nothing too large."""

_BESIDE = (1e-4, 1e-6)
"""From a place: where the limit of a derivative is read that has no value at the place itself."""


class Kink(NamedTuple):
    """P(y) w(y) for y = sign x - distance > 0; P lowest degree first; width is tau, infinite if w = 1."""

    sign: int
    distance: float
    coefficients: tuple[float, ...]
    width: float = inf

    def __call__(self, y: Array) -> Array:
        """P(y) w(y), of any y."""
        window = np.exp(-((y / self.width) ** 2) / 2)
        value: Array = np.asarray(np.polynomial.polynomial.polyval(y, self.coefficients) * window, np.float64)
        return value


class Limits(NamedTuple):
    """What is taken out of functions that are not polynomials: the order of the highest derivative whose jumps are, and
    how many times larger than the function itself the terms may be, as digits are lost in proportion to the square."""

    order: int
    larger: float


LIMITS = {"float32": Limits(3, 4.0), "float64": Limits(5, 300.0)}


class Kinks(NamedTuple):
    """The terms of a function of pieces; degree is that of all pieces if they are polynomials, else None."""

    terms: tuple[Kink, ...]
    degree: int | None
    rest: Expression | None
    """The rest, if it is a polynomial."""

    @property
    def flat(self) -> bool:
        """Whether there is a place at which nothing jumps: the function is smooth there, and not analytic."""
        return any(not any(term.coefficients) for term in self.terms)


@lru_cache(maxsize=256)
def slope(form: Piecewise) -> Piecewise:
    """The derivative on every piece."""
    return Piecewise(form.places, tuple(map(derivative, form.branches)))


@lru_cache(maxsize=256)
def kinks(form: Piecewise, limits: Limits = LIMITS["float64"]) -> Kinks:
    """Raises UnsupportedError where a derivative is infinite at a place."""
    known = [polynomial(branch) for branch in form.branches]
    coefficients = [x for x in known if x is not None]
    if len(coefficients) == len(known):
        degree = max(0, *(len(x) - 1 for x in coefficients))
        zero = int(np.searchsorted(form.places, 0.0))  # the piece that has zero in it, or to its right end
        terms = tuple(_of_jumps(place, _jumps(form, i, degree), inf) for i, place in enumerate(form.places))
        return Kinks(terms, degree, form.branches[zero])
    return Kinks(tuple(_kink(form, i, limits) for i in range(len(form.places))), None, None)


def _kink(form: Piecewise, index: int, limits: Limits) -> Kink:
    place, jumps = form.places[index], _jumps(form, index, limits.order)
    for width in WIDTHS:
        found = _of_jumps(place, jumps, width)
        y = np.linspace(0, 4 * width, 33)
        inside = np.abs(form(place + np.concatenate([-y[1:], y])))
        if np.max(np.abs(found(y))) <= limits.larger * np.max(inside[np.isfinite(inside)]):
            break
    return found


def _of_jumps(place: float, jumps: list[float], width: float) -> Kink:
    """The term whose derivatives jump by these numbers, and that is zero on the side of zero."""
    sign = 1 if place >= 0 else -1
    taylor = [sign ** (n + 1) * jump / factorial(n) for n, jump in enumerate(jumps)]
    window = [0.0] * len(jumps)
    for n in range(0, len(jumps), 2):
        window[n] = (0.5 / width**2) ** (n // 2) / factorial(n // 2)
    found = np.convolve(taylor, window)[: len(jumps)]
    return Kink(sign, abs(place), tuple(map(float, found)), width)


def _jumps(form: Piecewise, index: int, order: int) -> list[float]:
    """Of derivatives 0 to order."""
    place = form.places[index]
    sides = []
    for branch, towards in ((form.branches[index], -1), (form.branches[index + 1], 1)):
        values = []
        for _ in range(order + 1):
            values.append(_limit(branch, place, towards))
            branch = derivative(branch)
        sides.append(values)
    return [right - left for left, right in zip(*sides, strict=True)]


def _limit(f: Expression, place: float, towards: int) -> float:
    value = float(on_arrays(f, np.array([place]))[0])
    if np.isfinite(value):
        return value
    far, near = on_arrays(f, place + towards * np.array(_BESIDE))
    if np.isfinite(near) and abs(far - near) <= 1e-3 * max(1.0, abs(near)):
        return float(near)
    raise UnsupportedError(
        f"activation: a derivative has no limit at x = {place:.6g}: `{_short(show(f))}`",
        hint="of functions that are steep without bound there are rules for a * abs(x) ** p, on either side of zero",
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
