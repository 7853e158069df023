"""Integrals of the error function, and of gelu, which is made of it."""

from __future__ import annotations

from math import pi
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.integrals.family import Family, Same, settled, variance
from ntc.backends.jax.integrals.single import Angle, determinant, in_single, per_example
from ntc.ir.ops import ErrorFunction, Gelu


def _arcsine(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """asin(s k / sqrt(p)) = atan2(s k, sqrt(p - s^2 k^2)), which keeps its digits near one."""
    k, gap = settled(k, v1, v2, same)
    return jnp.arctan2(s * k, jnp.sqrt(determinant(s, gap, v1, v2)))


def _slope(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    _, gap = settled(k, v1, v2, same)
    slope: jax.Array = s / jnp.sqrt(determinant(s, gap, v1, v2))
    return slope


def _fast_arcsine(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return Angle.of(s, k, v1, v2, same).angle


def _fast_slope(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    found = Angle.of(s, k, v1, v2, same)
    slope: jax.Array = s * found.scale / found.cosine
    return slope


_arcsine_of = in_single(_arcsine, _fast_arcsine)
_slope_of = in_single(_slope, _fast_slope)


def _dual(phi: ErrorFunction, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return 2 / pi * phi.a**2 * _arcsine_of(2 * phi.b**2, k, v1, v2, same) + phi.c**2


def _dual_dot(phi: ErrorFunction, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return 2 / pi * phi.a**2 * _slope_of(2 * phi.b**2, k, v1, v2, same)


def _product(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, gap = settled(k, v1, v2, same)
    square = 1 + v1 + v2 + gap
    d = jnp.sqrt(square)
    rest = (k / (1 + v1) * (k / (1 + v2)) + v1 / (1 + v1) * (v2 / (1 + v2)) * square) / d  # no product overflows
    return k / 4 + (k * jnp.arctan2(k, d) + rest) / (2 * pi)


def _product_dot(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, gap = settled(k, v1, v2, same)
    square = 1 + v1 + v2 + gap
    d = jnp.sqrt(square)
    both = 1 / (1 + v1) / (1 + v2) - v1 / (1 + v1) * (v2 / (1 + v2))
    return 1 / 4 + (jnp.arctan2(k, d) + (1 / square + both + 1) * k / d) / (2 * pi)


def _fast_product(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """d = cos / u of the angle, and P = 1 / u^2."""
    found = Angle.of(1.0, k, v1, v2, same)
    own1, own2 = per_example(k, lambda v: v / jnp.sqrt(1 + v), v1, v2)
    rest = found.sine**2 * found.scale / found.cosine + own1 * own2 * found.cosine
    product: jax.Array = k / 4 + (k * found.angle + rest) / (2 * pi)
    return product


def _fast_product_dot(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    found = Angle.of(1.0, k, v1, v2, same)
    own1, own2 = per_example(k, lambda v: v / jnp.sqrt(1 + v), v1, v2)
    inverse = found.scale / found.cosine
    factor = inverse**2 + found.scale * (found.scale - own1 * own2) + 1
    slope: jax.Array = 1 / 4 + (found.angle + factor * found.sine / found.cosine) / (2 * pi)
    return slope


_product_of = in_single(_product, _fast_product)
_product_dot_of = in_single(_product_dot, _fast_product_dot)


def _gelu_dual(phi: Gelu, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return _product_of(1.0, k, v1, v2, same)


def _gelu_dual_dot(phi: Gelu, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return _product_dot_of(1.0, k, v1, v2, same)


ERROR_FUNCTION = Family(variance, _dual, _dual_dot)
GELU = Family(variance, _gelu_dual, _gelu_dual_dot)
