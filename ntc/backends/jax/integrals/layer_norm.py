"""Layer norm as an integral of two variances."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.integrals.family import Family, Same, variance
from ntc.ir.ops import LayerNorm


def _normalized(phi: LayerNorm, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return k * _normalizer(phi, k, v1, v2, same)


def _normalizer(phi: LayerNorm, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """1 / sqrt((v1 + eps) (v2 + eps)), of which each root is of one example, and whose product may underflow."""
    return jnp.broadcast_to(1 / lax.sqrt(v1 + phi.eps) / lax.sqrt(v2 + phi.eps), k.shape)


FAMILY = Family(variance, _normalized, _normalizer)
