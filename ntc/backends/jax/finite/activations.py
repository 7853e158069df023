"""Forward passes of nonlinearities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.ir import ops
from ntc.ir.ops.activation import PiecewiseLinear


def _piecewise_linear(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    below, above = op.slopes
    y: jax.Array = below * jnp.minimum(x, 0) + above * jnp.maximum(x, 0)
    return y


def _erf(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    y: jax.Array = op.a * lax.erf(op.b * x) + op.c
    return y


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    PiecewiseLinear: _piecewise_linear,
    ops.Erf: _erf,
}
