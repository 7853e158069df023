"""float64 for a program without touching the caller's JAX configuration."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.errors import UnsupportedError
from ntc.ir.types import DType


def precision(dtype: DType) -> AbstractContextManager[object]:
    """A context in which arrays of this type can be made and computed with."""
    return nullcontext() if dtype == "f32" else jax.enable_x64(True)


def is_real(dtype: Any) -> bool:
    """Whether arrays of a dtype hold real numbers, of half precision too, whole numbers or truth values."""
    return any(jnp.issubdtype(dtype, kind) for kind in (np.floating, np.integer, np.bool_))


def require(dtype: DType) -> None:
    """Raises UnsupportedError where arrays of this type cannot be part of the caller's computation."""
    if dtype == "f64" and jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise UnsupportedError(
            "a program in float64 is part of a JAX transformation whose numbers are float32",
            hint="jax.config.update('jax_enable_x64', True) before, or `with jax.enable_x64(True):` around the call",
        )
