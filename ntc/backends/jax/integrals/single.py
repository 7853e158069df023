"""Integrals in single precision: few operations per pair of examples, by what is computed once per example.

With u_i = 1 / sqrt(1 + s v_i) of every example, u = u_1 u_2 and r = s K u, the sine of an angle,

    (1 + s v1) (1 + s v2) - s^2 K^2 = (1 - r^2) / u^2,

so that error functions need one arcsine, by a polynomial, and two roots. Its cosine is the root of that sum times u.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.polynomial import Chebyshev, Polynomial

from ntc.backends.jax.integrals.family import Same, settled, where
from ntc.backends.jax.integrals.minimax import polynomial
from ntc.ir.op import Array

_DEGREE = 4
"""Relative error of the arcsine below 2e-8, under the rounding of float32."""


def _excess(square: Array) -> Array:
    """(arcsin(x) / x - 1) / x^2 of x^2."""
    x = np.sqrt(square)
    near = square < 1e-4  # where it would cancel
    safe = np.where(near, 0.5, x)
    series = 1 / 6 + 3 / 40 * square + 15 / 336 * square**2
    return np.where(near, series, (np.arcsin(safe) / safe - 1) / safe**2)


_ARCSINE = tuple(
    Chebyshev.interpolate(_excess, _DEGREE, domain=[0, 0.25])
    .convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1])
    .coef.tolist()
)
"""Of x <= 1/2; the arcsine of more is a right angle less twice that of sqrt((1 - x) / 2)."""


class Angle(NamedTuple):
    """An angle from -pi / 2 to pi / 2, its sine and cosine, and the product of u_1 and u_2."""

    angle: jax.Array
    sine: jax.Array
    cosine: jax.Array
    scale: jax.Array

    @classmethod
    def of(cls, s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> Angle:
        """Of the covariance and both variances. What the sine is short of one is known by the cosine, in which nothing
        cancels."""
        k, gap = settled(k, v1, v2, same)
        u1, u2 = per_example(k, lambda v: 1 / lax.sqrt(1 + s * v), v1, v2)
        scale, sine = u1 * u2, s * k * u1 * u2
        cosine = lax.sqrt(determinant(s, gap, v1, v2)) * scale
        size = lax.abs(sine)
        small = size <= 0.5
        x = where(small, size, cosine * lax.sqrt(0.5 / (1 + size)))
        turn = x + x * x * x * polynomial(_ARCSINE, x * x)
        acute = where(small, turn, pi / 2 - 2 * turn)
        return cls(where(sine < 0, -acute, acute), sine, cosine, scale)


def determinant(s: Any, gap: jax.Array, v1: jax.Array, v2: jax.Array) -> jax.Array:
    """(1 + s v1) (1 + s v2) - s^2 K^2 from gap = v1 v2 - K^2, summed without cancellation: it is never below 1."""
    found: jax.Array = 1 + s * (v1 + v2) + s**2 * gap
    return found


def per_example(k: jax.Array, function: Callable[[jax.Array], jax.Array], *variances: jax.Array) -> Any:
    """The function of each, kept apart from what is computed for every pair, where there are fewer of them."""
    found = tuple(map(function, variances))
    fewer = all(v.shape != k.shape for v in variances)  # sizes may be symbols, which have no order
    return lax.optimization_barrier(found) if fewer else found  # type: ignore[no-untyped-call]


Function = Callable[..., jax.Array]
"""Of (s, k, v1, v2, same) for a number s."""


def in_single(exact: Function, fast: Function) -> Function:
    """`fast` in single precision; `exact` in double precision, and where a derivative is taken: of a high order that of
    both would be twice as much to compile."""

    @jax.custom_jvp
    def single(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
        return fast(s, k, v1, v2, same)

    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        *values, same = primals
        return jax.jvp(lambda *given: exact(*given, same), tuple(values), tangents[:-1])

    single.defjvp(derivative)

    def function(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
        return (single if k.dtype == jnp.float32 else exact)(s, k, v1, v2, same)

    return function
