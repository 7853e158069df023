"""The determinant of two variables, v1 v2 - k^2, where it is small."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@jax.custom_jvp
def gap(k: jax.Array, v1: jax.Array, v2: jax.Array) -> jax.Array:
    """v1 v2 - k^2, not below zero, to the precision: by the errors of both products."""
    (product, error), (square, other) = _product(v1, v2), _product(k, k)
    return jnp.maximum((product - square) + (error - other), 0)


@gap.defjvp
def _gap_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    """That of the formula, at its bound as well."""
    (k, v1, v2), (dk, dv1, dv2) = primals, tangents
    return gap(k, v1, v2), v2 * dv1 + v1 * dv2 - 2 * k * dk


def _product(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """a b, and what it is short of the exact product. Source: Dekker 1971, with halves taken by their bits."""
    (high, low), (top, rest) = _halves(a), _halves(b)
    product = a * b
    return product, ((high * top - product) + high * rest + low * top) + low * rest


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    bits, mask = (jnp.uint32, 0xFFFFF000) if x.dtype == jnp.float32 else (jnp.uint64, 0xFFFFFFFFF8000000)
    high = lax.bitcast_convert_type(lax.bitcast_convert_type(x, bits) & np.array(mask, bits), x.dtype)
    return high, x - high
