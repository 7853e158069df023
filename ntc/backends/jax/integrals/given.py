"""Integrals that somebody gives as JAX functions of covariance and variances."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.integrals.family import Family, Same, variance
from ntc.errors import InputError
from ntc.ir.given_function import GivenFunction
from ntc.ir.ops import GivenActivation


def _called(function: GivenFunction, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """The function at every entry; the covariance of one with itself is its variance. Raises InputError."""
    v1, v2 = jnp.broadcast_to(v1, k.shape), jnp.broadcast_to(v2, k.shape)
    found = function.call(k if same is None else jnp.where(same, v1, k), v1, v2)
    if jnp.shape(found) != k.shape:
        raise InputError(f"{function.name} should return one number for three numbers")
    return jnp.asarray(found, k.dtype)


def _dual(phi: GivenActivation, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> Any:
    return _called(phi.nngp_fn, k, v1, v2, same)


def _dual_dot(phi: GivenActivation, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> Any:
    return _called(phi.d_nngp_fn, k, v1, v2, same)


FAMILY = Family(variance, _dual, _dual_dot)
