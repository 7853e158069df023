"""Gaussian integrals of the nonlinearities in JAX, stable in float32, finite and differentiable at the ends.

One row per family of nonlinearities: (k, v1, v2, same) -> (E[phi phi], E[phi' phi']) as two functions.
`same`, if given, marks the entries of an example and position with themselves, whose correlation is one
whatever the rounding of k.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.arccos import arccos
from ntc.ir.op import Activation
from ntc.ir.ops import Erf, PiecewiseLinear

Integral = Callable[[Activation, jax.Array, jax.Array, jax.Array, jax.Array | None], jax.Array]


def _angle(
    k: jax.Array, v1: jax.Array, v2: jax.Array, same: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """sqrt(v1 v2), and of the angle of correlation: itself, cosine and sine.

    A variance of zero counts as correlation one. At correlation +-1 the derivatives of angle and sine are
    infinite but cancel in the integrals; they are set to zero there.
    """
    norm = _root(v1) * _root(v2)
    positive = norm > 0
    cosine = jnp.where(positive, k / jnp.where(positive, norm, 1), 1)
    if same is not None:
        cosine = jnp.where(same, 1, cosine)
    inside = jnp.abs(cosine) < 1
    cosine = jnp.clip(cosine, -1, 1)
    safe = jnp.where(inside, cosine, 0)
    angle = jnp.where(inside, arccos(safe), jnp.where(cosine > 0, 0, pi).astype(k.dtype))
    sine = jnp.where(inside, jnp.sqrt((1 - safe) * (1 + safe)), 0)
    return norm, angle, cosine, sine


def _root(v: jax.Array) -> jax.Array:
    """Square root, with derivative zero at zero."""
    positive = v > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, v, 1)), 0)


def _piecewise_linear_dual(
    phi: Activation, k: jax.Array, v1: jax.Array, v2: jax.Array, same: jax.Array | None
) -> jax.Array:
    assert isinstance(phi, PiecewiseLinear)
    a, b = phi.slopes
    if a == b:
        return a**2 * k
    norm, angle, cosine, sine = _angle(k, v1, v2, same)
    return norm * ((b - a) ** 2 / (2 * pi) * (sine + (pi - angle) * cosine) + a * b * cosine)


def _piecewise_linear_dual_dot(
    phi: Activation, k: jax.Array, v1: jax.Array, v2: jax.Array, same: jax.Array | None
) -> jax.Array:
    assert isinstance(phi, PiecewiseLinear)
    a, b = phi.slopes
    if a == b:
        return jnp.full_like(k, a**2)
    _, angle, _, _ = _angle(k, v1, v2, same)
    return (b - a) ** 2 / (2 * pi) * (pi - angle) + a * b


def _erf_determinant(s: float, k: jax.Array, v1: jax.Array, v2: jax.Array, same: jax.Array | None) -> jax.Array:
    """(1 + s v1) (1 + s v2) - s^2 k^2, summed without cancellation: it is never below 1."""
    gap = jnp.maximum(v1 * v2 - k**2, 0)
    if same is not None:
        gap = jnp.where(same, 0, gap)
    return 1 + s * (v1 + v2) + s**2 * gap


def _erf_dual(phi: Activation, k: jax.Array, v1: jax.Array, v2: jax.Array, same: jax.Array | None) -> jax.Array:
    """asin(s k / sqrt(p)) = atan2(s k, sqrt(p - s^2 k^2)), which keeps its digits near one."""
    assert isinstance(phi, Erf)
    s = 2 * phi.b**2
    angle = jnp.arctan2(s * k, jnp.sqrt(_erf_determinant(s, k, v1, v2, same)))
    return 2 / pi * phi.a**2 * angle + phi.c**2


def _erf_dual_dot(phi: Activation, k: jax.Array, v1: jax.Array, v2: jax.Array, same: jax.Array | None) -> jax.Array:
    assert isinstance(phi, Erf)
    s = 2 * phi.b**2
    return 2 / pi * phi.a**2 * s / jnp.sqrt(_erf_determinant(s, k, v1, v2, same))


DUALS: Mapping[type[Any], tuple[Integral, Integral]] = {
    PiecewiseLinear: (_piecewise_linear_dual, _piecewise_linear_dual_dot),
    Erf: (_erf_dual, _erf_dual_dot),
}


def integrals(phi: Activation) -> tuple[Integral, Integral]:
    """The row of a nonlinearity, or of the family it belongs to."""
    return next(DUALS[cls] for cls in type(phi).__mro__ if cls in DUALS)
