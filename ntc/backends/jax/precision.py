"""float64 for a program without touching the caller's JAX configuration."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import jax

from ntc.ir.types import DType


def precision(dtype: DType) -> AbstractContextManager[object]:
    """A context in which arrays of this type can be made and computed with."""
    return nullcontext() if dtype == "f32" else jax.enable_x64(True)
