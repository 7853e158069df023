"""Integrals of relu and its kin from values in the distance form, without cancellation where inputs are nearly equal.

With x = D = (v1 + v2) / 2 - K where p' = p and -K elsewhere, norm = sqrt(v1 v2), and t the angle of correlation,

    gap = norm - K  = D - (sqrt(v1) - sqrt(v2))^2 / 2
    E[phi' phi']    = (b - a)^2 (pi - t) / (2 pi) + a b
    E[phi phi]      = (a^2 + b^2) / 2 K + (b - a)^2 norm (sin(t) - t cos(t)) / (2 pi)
    x of phi        = (a^2 + b^2) / 2 x - (b - a)^2 norm (sin(t) - t cos(t)) / (2 pi)

for the slopes a below and b above zero: Cho & Saul 2009, eq. 6, rewritten. Of a variance v they take sqrt(v / 2).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.integrals.angle import excess, overlap
from ntc.backends.jax.integrals.family import root
from ntc.ir.activation import Activation
from ntc.ir.hyper import is_known, is_number
from ntc.ir.types import Form

Own = Any
"""Marks entries with p' = p, which hold distances: True if there are no others."""


def half_root(v: jax.Array) -> jax.Array:
    """What integrals take of a variance."""
    return root(v / 2)


def _slopes(phi: Activation) -> tuple[float, float]:
    assert phi.slopes is not None
    return phi.slopes


def _gap(x: jax.Array, half1: jax.Array, half2: jax.Array, own: Own) -> tuple[jax.Array, jax.Array]:
    """sqrt(v1 v2) - K and sqrt(v1 v2) / 2."""
    scale = jnp.broadcast_to(half1 * half2, x.shape)
    square = (half1 - half2) ** 2
    return x - (square if own is True else jnp.where(own, square, -2 * scale)), scale


def dual(phi: Activation, x: jax.Array, half1: jax.Array, half2: jax.Array, own: Own, gives: Form) -> jax.Array:
    """E[phi phi], or with `gives` distance that form of it."""
    a, b = _slopes(phi)
    mean = (a**2 + b**2) / 2
    gap, scale = _gap(x, half1, half2, own)
    if is_number(mean, 0):
        return jnp.zeros_like(gap)
    bent = (b - a) ** 2 / (2 * (mean if is_known(mean) else jnp.where(mean > 0, mean, 1))) * excess(gap, scale)
    return mean * (x - bent if gives == "distance" else 2 * scale - gap + bent)


def dual_dot(phi: Activation, x: jax.Array, half1: jax.Array, half2: jax.Array, own: Own) -> jax.Array:
    """E[phi' phi']."""
    a, b = _slopes(phi)
    return (b - a) ** 2 * overlap(*_gap(x, half1, half2, own)) + a * b


def covariance(x: jax.Array, half1: jax.Array, half2: jax.Array, own: Own) -> jax.Array:
    """K, from what integrals compute as well."""
    gap, scale = _gap(x, half1, half2, own)
    return 2 * scale - gap
