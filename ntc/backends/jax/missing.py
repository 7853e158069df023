"""Inputs of which entries are masked."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ntc.ir.kernel.inputs import markers
from ntc.ir.schema import Masked


def is_missing(masked: Masked, x: jax.Array) -> jax.Array:
    """Which entries of an input are masked."""
    return jnp.isnan(x) if masked == "nan" else jnp.isin(x, jnp.asarray(markers(masked), x.dtype))


def without_masked(masked: Masked | None, x: jax.Array) -> jax.Array:
    """x with zeros for masked entries, and one more channel: 1 at positions that are not masked, else 0."""
    if masked is None:
        return x
    missing = is_missing(masked, x)
    present = ~missing.all(-1, keepdims=True)
    return jnp.concatenate([jnp.where(missing, 0, x), present.astype(x.dtype)], axis=-1)
