"""Polynomials for the integrals of relu in float32: one square root and one polynomial per entry.

With s = |cos| of the angle of correlation and t = arccos(s), the acute angle,

    t                  = sqrt(1 - s)         f(s)
    sin(t) - t cos(t)  = sqrt(1 - s) (1 - s) g(s)

where f and g are smooth on [0, 1]. They are interpolated at Chebyshev points when the module is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import jax
import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from ntc.ir.op import Array

_DEGREE = 7
"""Relative error of the polynomials below 3e-8 on [0, 1], under the rounding of float32."""

Coefficients = tuple[float, ...]


def _fitted(function: Callable[[Array], Array]) -> Coefficients:
    """Of the interpolating polynomial on [0, 1], lowest degree first."""
    fitted = Chebyshev.interpolate(function, _DEGREE, domain=[0, 1])
    return tuple(fitted.convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1]).coef.tolist())


def _angle(s: Array) -> Array:
    """arccos(s), without cancellation near 1."""
    return 2 * np.arcsin(np.sqrt((1 - s) / 2))


def _half_angle(s: Array) -> Array:
    return _angle(s) / np.sqrt(1 - s) / (2 * pi)


def _half_space(s: Array) -> Array:
    t = _angle(s)
    return (np.sin(t) - t * s) / (1 - s) ** 1.5 / (2 * pi)


HALF_ANGLE = _fitted(_half_angle)
"""Of arccos(s) / (2 pi sqrt(1 - s))."""

HALF_SPACE = _fitted(_half_space)
"""Of (sin(t) - t s) / (2 pi (1 - s)^(3/2)), t = arccos(s)."""


def polynomial(coefficients: Coefficients, x: jax.Array) -> jax.Array:
    """The value of a polynomial by Horner's rule."""
    *lower, last, first = coefficients
    value = x * first + last
    for coefficient in reversed(lower):
        value = value * x + coefficient
    return value
