"""What a family of nonlinearities is, and what their integrals share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Same = Any
"""Marks entries of an example and position with themselves: None if there are none, True if there are no others."""

Integral = Callable[[Any, jax.Array, jax.Array, jax.Array, Same], jax.Array]


@dataclass(frozen=True)
class Family:
    """How the integrals of a family of nonlinearities are computed: (phi, k, m1, m2, same) -> integral."""

    marginal: Callable[[jax.Array], jax.Array]
    dual: Integral
    dual_dot: Integral

    def marginal_of(self, phi: Any, slope: bool) -> Callable[[jax.Array], jax.Array]:
        """From variances (...) to what `dual`, or with `slope` dual_dot, takes of them: (...), or (terms, ...)."""
        return self.marginal


def where(condition: jax.Array, x: jax.Array | float, y: jax.Array | float) -> jax.Array:
    """`jnp.where` of arrays of one shape, or numbers: it is traced and lowered in a fraction of the time."""
    array = x if isinstance(x, jax.Array) else y
    return lax.select(condition, *(z if isinstance(z, jax.Array) else lax.full_like(array, z) for z in (x, y)))


def root(v: jax.Array) -> jax.Array:
    """Square root, with derivative zero at zero. Of what is not a number it is none."""
    zero = v <= 0
    return where(zero, 0.0, lax.sqrt(where(zero, 1.0, v)))


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def clamped(x: jax.Array, low: float | None, high: float | None) -> jax.Array:
    """x within bounds that it exceeds by rounding alone, so that the derivative is that of x, on the bounds as well."""
    return jnp.clip(x, low, high)


@clamped.defjvp
def _clamped_jvp(
    low: float | None, high: float | None, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return clamped(*primals, low, high), tangents[0]


def variance(v: jax.Array) -> jax.Array:
    """The marginal as it is."""
    return v


def settled(k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> tuple[jax.Array, jax.Array]:
    """The covariance, which is the variance of an entry with itself, and v1 v2 - k^2, which is not below zero."""
    if same is None:
        return k, clamped(v1 * v2 - k**2, 0, None)
    k = jnp.where(same, v1, k)
    return k, jnp.where(same, 0, clamped(v1 * v2 - k**2, 0, None))
