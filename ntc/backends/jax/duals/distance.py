"""Integrals of relu and its kin from values in the distance form, without cancellation where inputs are nearly equal.

With x = D = (v1 + v2) / 2 - K where p' = p and -K elsewhere, roots r1 and r2 of the variances, norm = r1 r2, and t the
angle of correlation,

    norm - K        = D - (r1 - r2)^2 / 2
    E[phi' phi']    = (a^2 + b^2) / 2 - (b - a)^2 t / (2 pi)
    E[phi phi]      = (a^2 + b^2) / 2 K + (b - a)^2 norm (sin(t) - t cos(t)) / (2 pi)
    x of phi        = (a^2 + b^2) / 2 x - (b - a)^2 norm (sin(t) - t cos(t)) / (2 pi)

for the slopes a below and b above zero: Cho & Saul 2009, eq. 6, rewritten.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.duals.angle import excess, turn
from ntc.ir.ops import PiecewiseLinear
from ntc.ir.types import Form

Own = Any
"""Marks entries with p' = p, which hold distances: True if there are no others."""


def _gap(x: jax.Array, root1: jax.Array, root2: jax.Array, own: Own) -> tuple[jax.Array, jax.Array]:
    """sqrt(v1 v2) - K and sqrt(v1 v2)."""
    norm = jnp.broadcast_to(root1 * root2, x.shape)
    half_square = (root1 - root2) ** 2 / 2
    return x + (-half_square if own is True else jnp.where(own, -half_square, norm)), norm


def dual(phi: PiecewiseLinear, x: jax.Array, root1: jax.Array, root2: jax.Array, own: Own, gives: Form) -> jax.Array:
    """E[phi phi], or with `gives` distance that form of it."""
    a, b = phi.slopes
    mean, difference = (a**2 + b**2) / 2, (b - a) ** 2
    gap, norm = _gap(x, root1, root2, own)
    bent = difference * excess(gap, norm)
    return mean * x - bent if gives == "distance" else mean * (norm - gap) + bent


def dual_dot(phi: PiecewiseLinear, x: jax.Array, root1: jax.Array, root2: jax.Array, own: Own) -> jax.Array:
    """E[phi' phi']."""
    a, b = phi.slopes
    return (a**2 + b**2) / 2 - (b - a) ** 2 * turn(*_gap(x, root1, root2, own))


def covariance(x: jax.Array, root1: jax.Array, root2: jax.Array, own: Own) -> jax.Array:
    """K; of what integrals compute as well."""
    gap, norm = _gap(x, root1, root2, own)
    return norm - gap
