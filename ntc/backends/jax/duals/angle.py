"""Functions of the angle t between two variables, from what their covariance is short of the product of roots.

With gap = norm - K, norm = sqrt(v1 v2), and h = gap / (2 norm) = sin(t / 2)^2,

    t                      = 2 sqrt(s) f(s)
    sin(t) - t cos(t)      = s sqrt(s) g(s)           for h <= 1/2, where s = h,

and for h > 1/2 by those of the supplement of t, where s = 1 - h. f and g are power series that converge on [0, 1/2];
they are interpolated at Chebyshev points when the module is loaded. Nothing cancels at small angles, and no correlation
is clamped to one: an angle is known to the precision where the gap is.
"""

from __future__ import annotations

from math import pi

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.polynomial import Chebyshev, Polynomial

from ntc.backends.jax.duals.family import where
from ntc.backends.jax.polynomials import Coefficients, polynomial

_TERMS = 80
"""Of the power series: at 1/2 what is left out is below 1e-24."""

_DEGREES = {"float32": 7, "float64": 19}
"""Relative error of the polynomials below 3e-8 and 1e-15, under the rounding of their precision."""


def _arcsine_series() -> Polynomial:
    """arcsin(q) / q in powers of q^2."""
    n = np.arange(1, _TERMS)
    central = np.concatenate([[1.0], np.cumprod((2 * n - 1) / (2 * n))])
    return Polynomial(central / (2 * np.arange(_TERMS) + 1))


def _excess_series() -> Polynomial:
    """(sin(t) - t cos(t)) / s^(3/2) / (2 pi), t = 2 arcsin(sqrt(s)): of 2 sqrt(s) (sqrt(1 - s) - (1 - 2 s) f(s))."""
    n = np.arange(1, _TERMS)
    root = np.concatenate([[1.0], np.cumprod((n - 1.5) / n)])  # sqrt(1 - s)
    arcsine = _arcsine_series().coef
    return Polynomial((root[1:] - arcsine[1:] + 2 * arcsine[:-1]) / pi)


def _fitted(series: Polynomial) -> dict[str, Coefficients]:
    """Of the interpolating polynomial on [0, 1/2], lowest degree first, by precision."""
    fits = {name: Chebyshev.interpolate(series, degree, domain=[0, 0.5]) for name, degree in _DEGREES.items()}
    return {
        name: tuple(fit.convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1]).coef.tolist())
        for name, fit in fits.items()
    }


_TURN = _fitted(_arcsine_series() / pi)
_EXCESS = _fitted(_excess_series())


def _square_of_sine(gap: jax.Array, norm: jax.Array) -> jax.Array:
    """h = sin(t / 2)^2, up to rounding. A variance of zero counts as correlation one."""
    return where(norm > 0, gap / (2 * norm), 0.0)


def _acute(h: jax.Array) -> jax.Array:
    """s, of the angle or of its supplement; not below zero."""
    return lax.max(where(h > 0.5, 1 - h, h), lax.full_like(h, 0))


@jax.custom_jvp
def turn(gap: jax.Array, norm: jax.Array) -> jax.Array:
    """t / (2 pi), the share of a full turn. Derivatives are those of the formula, zero where they are infinite."""
    h = _square_of_sine(gap, norm)
    s = _acute(h)
    acute = lax.sqrt(s) * polynomial(_TURN[str(h.dtype)], s)
    return where(h > 0.5, 0.5 - acute, acute)


@jax.custom_jvp
def excess(gap: jax.Array, norm: jax.Array) -> jax.Array:
    """norm (sin(t) - t cos(t)) / (2 pi)."""
    h = _square_of_sine(gap, norm)
    s = _acute(h)
    beyond = where(h > 0.5, h - 0.5, 0.0)
    return norm * (s * lax.sqrt(s) * polynomial(_EXCESS[str(h.dtype)], s) + beyond)


def _half_sine(gap: jax.Array, norm: jax.Array) -> tuple[jax.Array, jax.Array]:
    """h, and sin(t) / 2, with derivative zero at the ends."""
    h = jnp.clip(jnp.where(norm > 0, gap / (2 * jnp.where(norm > 0, norm, 1)), 0), 0, 1)
    product = h * (1 - h)
    inside = product > 0
    return h, jnp.where(inside, jnp.sqrt(jnp.where(inside, product, 1)), 0)


_Pair = tuple[jax.Array, jax.Array]


@turn.defjvp
def _turn_jvp(primals: _Pair, tangents: _Pair) -> _Pair:
    """dt = (d gap - (1 - cos(t)) d norm) / (norm sin(t))."""
    gap, norm = primals
    h, sine = _half_sine(gap, norm)
    below = 4 * pi * norm * sine
    slope = jnp.where(below > 0, 1 / jnp.where(below > 0, below, 1), 0)
    return turn(gap, norm), slope * (tangents[0] - 2 * h * tangents[1])


@excess.defjvp
def _excess_jvp(primals: _Pair, tangents: _Pair) -> _Pair:
    """By the gap it is t / (2 pi), by the norm (sin(t) - t) / (2 pi)."""
    gap, norm = primals
    angle, sine = turn(gap, norm), _half_sine(gap, norm)[1]
    return excess(gap, norm), angle * tangents[0] + (sine / pi - angle) * tangents[1]
