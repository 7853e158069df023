"""Forward passes of dropout and normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ntc.ir import ops


def _dropout(op: Any, weights: Mapping[str, jax.Array], x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    if key is None:
        return x  # mode = test
    return jnp.where(jax.random.bernoulli(key, op.keep, x.shape), x / op.keep, 0)


def _layer_norm(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    axes = (*(1 + axis for axis in op.axes(x.shape[1:-1])), x.ndim - 1)
    centred = x - x.mean(axes, keepdims=True)
    y: jax.Array = centred / jnp.sqrt((centred**2).mean(axes, keepdims=True) + op.eps)
    return y


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.Dropout: _dropout,
    ops.LayerNorm: _layer_norm,
}
