"""Whether a value is known, or stands for an array inside a JAX transformation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_traced(x: Any) -> bool:
    """Whether x stands for an array inside another JAX transformation."""
    if not isinstance(x, jax.Array):
        return False
    try:
        np.asarray(x)
    except jax.errors.TracerArrayConversionError:
        return True
    return False


def is_staged() -> bool:
    """Whether this is run by a JAX transformation that records operations instead of computing: inside `jax.jit`."""
    return is_traced(jnp.zeros(()) + 1)
