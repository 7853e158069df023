"""Functions of the angle t between two variables, from what their covariance is short of the product of roots.

With gap = sqrt(v1 v2) - K, scale = sqrt(v1 v2) / 2, and q = gap / scale = 4 sin(t / 2)^2,

    t                      = sqrt(s) f(s)
    sin(t) - t cos(t)      = s sqrt(s) g(s)           for q <= 2, where s = q,

and for q > 2 by those of the supplement of t, where s = 4 - q. f and g are power series that converge on [0, 2]; they
are interpolated at Chebyshev points when the module is loaded. Nothing cancels at small angles, and no correlation is
clamped to one: an angle is known to the precision where the gap is.
"""

from __future__ import annotations

from math import pi

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.polynomial import Chebyshev, Polynomial

from ntc.backends.jax.integrals.family import where
from ntc.backends.jax.integrals.minimax import Coefficients, polynomial

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
    """Of the polynomial in s that interpolates a series in s / 4 on [0, 2], lowest degree first, by precision."""
    fits = {
        name: Chebyshev.interpolate(lambda s: series(s / 4), degree, domain=[0, 2]) for name, degree in _DEGREES.items()
    }
    return {
        name: tuple(fit.convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1]).coef.tolist())
        for name, fit in fits.items()
    }


_TURN = _fitted(_arcsine_series() / (2 * pi))
"""Of t / (2 pi sqrt(s))."""

_EXCESS = _fitted(_excess_series() / 2)
"""Of 4 (sin(t) - t cos(t)) / (2 pi s^(3/2))."""


def _chord(gap: jax.Array, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    """q, and s, which is in [0, 2] whatever rounding makes of q. A variance of zero counts as correlation one."""
    q = where(scale > 0, gap / scale, 0.0)
    nearer = lax.min(lax.abs(q), lax.abs(4 - q))  # absolute values are faster than bounds
    return q, lax.min(nearer, lax.full_like(q, 2))


@jax.custom_jvp
def overlap(gap: jax.Array, scale: jax.Array) -> jax.Array:
    """(pi - t) / (2 pi), the probability that both variables are above zero.

    Derivatives are those of the formula, zero where they are infinite.
    """
    q, s = _chord(gap, scale)
    acute = lax.sqrt(s) * polynomial(_TURN[str(q.dtype)], s)
    return where(q > 2, acute, 0.5 - acute)


@jax.custom_jvp
def excess(gap: jax.Array, scale: jax.Array) -> jax.Array:
    """2 sqrt(v1 v2) (sin(t) - t cos(t)) / (2 pi)."""
    q, s = _chord(gap, scale)
    return scale * (s * lax.sqrt(s) * polynomial(_EXCESS[str(q.dtype)], s) + where(q > 2, q - 2, 0.0))


def _half_sine(gap: jax.Array, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sin(t / 2)^2, and sin(t) / 2 with derivative zero at the ends."""
    positive = scale > 0
    h = jnp.clip(jnp.where(positive, gap / (4 * jnp.where(positive, scale, 1)), 0), 0, 1)
    product = h * (1 - h)
    inside = product > 0
    return h, jnp.where(inside, jnp.sqrt(jnp.where(inside, product, 1)), 0)


_Pair = tuple[jax.Array, jax.Array]


@overlap.defjvp
def _overlap_jvp(primals: _Pair, tangents: _Pair) -> _Pair:
    """-dt / (2 pi), dt = (d gap - 2 (1 - cos(t)) d scale) / (2 scale sin(t))."""
    gap, scale = primals
    h, sine = _half_sine(gap, scale)
    below = 8 * pi * scale * sine
    slope = jnp.where(below > 0, 1 / jnp.where(below > 0, below, 1), 0)
    return overlap(gap, scale), slope * (4 * h * tangents[1] - tangents[0])


@excess.defjvp
def _excess_jvp(primals: _Pair, tangents: _Pair) -> _Pair:
    """By the gap it is 2 t / (2 pi), by the scale 4 (sin(t) - t) / (2 pi)."""
    gap, scale = primals
    angle, sine = 0.5 - overlap(gap, scale), _half_sine(gap, scale)[1]
    return excess(gap, scale), 2 * angle * tangents[0] + 4 * (sine / pi - angle) * tangents[1]
