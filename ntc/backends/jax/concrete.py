"""Whether a value is known, or stands for an array inside a JAX transformation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_traced(x: Any) -> bool:
    """Whether x, or an array in it, stands for others inside another JAX transformation."""
    return any(isinstance(leaf, jax.Array) and not _has_numbers(leaf) for leaf in jax.tree.leaves(x))


def is_staged() -> bool:
    """Whether this is run by a JAX transformation that records operations instead of computing: inside `jax.jit`."""
    return is_traced(jnp.zeros(()) + 1)


def _has_numbers(x: jax.Array) -> bool:
    try:
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
    except jax.errors.TracerArrayConversionError:
        return False
    return True
