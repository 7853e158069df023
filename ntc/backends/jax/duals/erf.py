"""Integrals of the error function, and of gelu, which is made of it."""

from __future__ import annotations

from math import pi
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.duals.family import Family, Same, settled, variance
from ntc.ir.ops import ErrorFunction, Gelu


def _determinant(s: Any, gap: jax.Array, v1: jax.Array, v2: jax.Array) -> jax.Array:
    """(1 + s v1) (1 + s v2) - s^2 k^2, summed without cancellation: it is never below 1."""
    determinant: jax.Array = 1 + s * (v1 + v2) + s**2 * gap
    return determinant


def _dual(phi: ErrorFunction, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """asin(s k / sqrt(p)) = atan2(s k, sqrt(p - s^2 k^2)), which keeps its digits near one."""
    k, gap = settled(k, v1, v2, same)
    s = 2 * phi.b**2
    angle = jnp.arctan2(s * k, jnp.sqrt(_determinant(s, gap, v1, v2)))
    return 2 / pi * phi.a**2 * angle + phi.c**2


def _dual_dot(phi: ErrorFunction, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    _, gap = settled(k, v1, v2, same)
    s = 2 * phi.b**2
    return 2 / pi * phi.a**2 * s / jnp.sqrt(_determinant(s, gap, v1, v2))


def _gelu_dual(phi: Gelu, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, gap = settled(k, v1, v2, same)
    square = 1 + v1 + v2 + gap
    d = jnp.sqrt(square)
    rest = (k / (1 + v1) * (k / (1 + v2)) + v1 / (1 + v1) * (v2 / (1 + v2)) * square) / d  # no product overflows
    return k / 4 + (k * jnp.arctan2(k, d) + rest) / (2 * pi)


def _gelu_dual_dot(phi: Gelu, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, gap = settled(k, v1, v2, same)
    square = 1 + v1 + v2 + gap
    d = jnp.sqrt(square)
    both = 1 / (1 + v1) / (1 + v2) - v1 / (1 + v1) * (v2 / (1 + v2))
    return 1 / 4 + (jnp.arctan2(k, d) + (1 / square + both + 1) * k / d) / (2 * pi)


ERROR_FUNCTION = Family(variance, _dual, _dual_dot)
GELU = Family(variance, _gelu_dual, _gelu_dual_dot)
